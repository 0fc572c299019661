# The image of a class on JupyterHub: the page "A class on JupyterHub" of the book says how it is used.
#   docker build -t variational-inference .
# A hub starts one container of it a student; alone it is a JupyterLab:
#   docker run --rm -p 8888:8888 variational-inference
FROM quay.io/jupyter/minimal-notebook:python-3.12

# Versions first: this layer is built again only when a pin changes.
COPY --chown=${NB_UID}:${NB_GID} requirements.txt /opt/book/
COPY --chown=${NB_UID}:${NB_GID} binder/requirements.txt /opt/book/binder/
RUN pip install --no-cache-dir -r /opt/book/binder/requirements.txt nbgitpuller==1.3.0

# Then the package, into site-packages: a student's home folder is mounted over /home and hides nothing of it.
COPY --chown=${NB_UID}:${NB_GID} pyproject.toml README.md LICENSE /opt/book/
COPY --chown=${NB_UID}:${NB_GID} vi_helpers /opt/book/vi_helpers
RUN pip install --no-cache-dir --no-deps /opt/book && python -c "import matplotlib.font_manager, vi_helpers.plots.style"

# One thread a student: the chapters were timed so, and containers that share a machine do not fight for its cores.
ENV OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

# For a run without a hub; on a hub the notebooks come by nbgitpuller.
COPY --chown=${NB_UID}:${NB_GID} book /home/${NB_USER}/book

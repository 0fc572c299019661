"""The far side of the wall: what runs where a student's code runs.  Started by ``sandbox.py`` as a script.

The first process, the nursery, imports what submissions need (numpy, scipy, torch …) once, walls itself in, and then
forks for every student, so that a student costs milliseconds and not two seconds of imports.  It never sees a hidden
check, a mark, or another student's work.  For each request it receives two sockets: the student's line to the grader,
and a leash; when the grader lets go of the leash, every process of that student is killed.

A student's process gets namespaces of its own (processes, network, mounts, IPC), an empty folder in memory, a user
id of its own, and limits on memory, files, time and processes; only then does it read the first line of the
student's code.  What cannot be had on a platform is reported to the grader, which says so.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import json
import os
import resource
import select
import shutil
import signal
import site
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from values import plain, unpack  # beside this file in the sandbox

# <linux/sched.h>, <linux/mount.h>, <linux/prctl.h>
NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
KEPT_FLAGS = {2: 2, 4: 4, 8: 8, 1024: 1024, 2048: 2048, 4096: 1 << 21}  # statvfs flag: the mount flag it is
MNT_DETACH, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 2, 24, 38
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
TOOLS, SCRATCH = "/grader", "/scratch"  # the tools, and a student's own folder, as seen behind the walls

SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache", "/etc/localtime")
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
PRELOAD = (
    "numpy", "scipy.special", "scipy.stats", "scipy.integrate", "scipy.optimize", "scipy.linalg", "matplotlib.pyplot",
    "torch", "sklearn.datasets", "sklearn.mixture", "IPython.core.inputtransformer2", "tqdm", "vi_helpers.grading",
)  # fmt: skip
FIRST_USER, USERS = 40000, 20000  # ids that no account has, within the 65,536 of a container


# --- walls ------------------------------------------------------------------------------------------------------


def libc_call(name: str, *arguments: object) -> int:
    """A function of the C library that sets ``errno``; raises ``OSError`` when it fails."""
    result = getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [part.encode() if part is not None else None for part in (source, target, kind, data)]
    libc_call("mount", *encoded[:3], ctypes.c_ulong(flags), encoded[3])


def own_user_namespace(proc: int, inside: int) -> None:
    """Enter a user namespace in which this user is ``inside``; ``proc`` is an open ``/proc``."""
    user, group = os.geteuid(), os.getegid()
    libc_call("unshare", NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{inside} {user} 1"), ("gid_map", f"{inside} {group} 1")):
        try:
            descriptor = os.open(f"self/{name}", os.O_WRONLY, dir_fd=proc)
        except FileNotFoundError:
            continue
        try:
            os.write(descriptor, text.encode())
        except PermissionError:
            if name != "setgroups":  # denied already one namespace further out
                raise
        finally:
            os.close(descriptor)


def bind_read_only(path: str, target: str) -> None:
    """Show what is at ``path`` at ``target`` too, read-only; a link stays a link."""
    if os.path.lexists(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(path):
        os.makedirs(target)
    else:
        Path(target).touch()
    mount(path, target, None, MS_BIND | MS_REC)
    kept = sum(flag for seen, flag in KEPT_FLAGS.items() if os.statvfs(target).f_flag & seen)
    mount(None, target, None, MS_BIND | MS_REMOUNT | MS_RDONLY | kept)


def wall_in(root: str, tools: str) -> None:
    """Leave the machine's file tree for one that holds the system, this Python and the tools, all read-only."""
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=4m,mode=755")
    mine = [sys.prefix, sys.base_prefix, *({site.getusersitepackages()} & set(sys.path))]
    python = {place(path) for path in mine for place in (str, os.path.realpath)}
    for path in (*SYSTEM, *DEVICES, *sorted(python)):
        if os.path.lexists(path) and not any(path.startswith(f"{p}/") for p in SYSTEM if os.path.isdir(p)):
            bind_read_only(path, root + path)
    bind_read_only(tools, root + TOOLS)
    for folder in (SCRATCH, "/proc", "/old"):
        os.makedirs(root + folder, exist_ok=True)
    if not os.path.lexists(root + "/tmp"):  # it is there when this Python lies below it
        os.symlink(SCRATCH, root + "/tmp")
    os.chdir(root)
    libc_call("syscall", PIVOT_ROOT[os.uname().machine], b".", b"old")
    os.chdir("/")
    libc_call("umount2", b"/old", MNT_DETACH)
    os.rmdir("/old")
    sys.path = [TOOLS if path == tools else path for path in sys.path]


def drop_privileges(user: int | None) -> None:
    """Become ``user`` where this process may, and lose every capability for good."""
    if sys.platform == "linux":
        for capability in range(64):
            try:
                libc_call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
            except OSError:
                break  # past the last one, or none to lose
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    if sys.platform == "linux":
        libc_call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        libc_call("capset", header, (ctypes.c_uint32 * 6)())


def set_limits(limits: dict, base: int) -> list[str]:
    """Limit this process and those it starts; the names of the limits that this platform lacks."""
    wanted = {
        "RLIMIT_AS": base + limits["memory_bytes"],
        "RLIMIT_FSIZE": limits["file_bytes"],
        "RLIMIT_NPROC": limits["processes"],
        "RLIMIT_NOFILE": 128,
        "RLIMIT_CPU": limits["cpu_s"],
        "RLIMIT_CORE": 0,
    }
    missing = []
    for name, value in wanted.items():
        try:
            resource.setrlimit(getattr(resource, name), (value, value))
        except (AttributeError, ValueError, OSError):
            missing.append(name)
    return missing


def lacking_limits(settings: dict) -> list[str]:
    """The limits that a student's process will not have here, tried in a process of its own."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, json.dumps(set_limits(settings["limits"], settings["base"])).encode())
        os._exit(0)
    os.wait()
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return json.loads(pipe.read())


def address_space() -> int:
    """Bytes of address space that the imports take already."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 2 * 10**9


# --- a student's process ------------------------------------------------------------------------------------------


class Line:
    """The line to the grader: JSON, one message a line; an answer carries the number of its question."""

    def __init__(self, connection: socket.socket):
        self.read = connection.makefile("r", encoding="utf8")
        self.write = connection.makefile("w", encoding="utf8")

    def questions(self) -> Iterable[dict]:
        return (json.loads(line) for line in self.read)

    def answer(self, question: dict, **values: object) -> None:
        self.write.write(json.dumps({"n": question["n"], **values}) + "\n")
        self.write.flush()


class Notebook:
    """Enough of IPython for a student's cells: magics and ``display`` do nothing, ``%%time`` runs its cell."""

    def __init__(self) -> None:
        from IPython.core.inputtransformer2 import TransformerManager

        self.transform = TransformerManager().transform_cell
        self.names = {
            "__name__": "__main__",
            "__builtins__": builtins,
            "display": lambda *_, **__: None,
            "get_ipython": lambda: self,
        }

    def run(self, source: str, name: str) -> None:
        exec(compile(self.transform(source), f"<cell {name}>", "exec"), self.names)

    def run_cell_magic(self, magic: str, line: str, cell: str) -> None:
        if magic in {"time", "timeit", "capture", "prun"}:
            self.run(cell, magic)

    def run_line_magic(self, *_: object) -> None: ...

    def system(self, *_: object) -> None: ...

    def getoutput(self, *_: object) -> list[str]:
        return []


def described(error: BaseException) -> str:
    """The kind of an exception, by a name that the student did not choose."""
    kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
    return kinds[0]


def leave_unless(me: int) -> None:
    if os.getpid() != me:
        os._exit(0)


def serve(line: Line) -> None:
    """Run the cells of the first question, then answer questions about what they defined.

    Copies of this process that the student's code makes by ``fork`` end where that code does: one answer a question.
    """
    notebook, me = Notebook(), os.getpid()
    for question in line.questions():
        if "cells" in question:
            errors = []
            for name, source in question["cells"]:
                line.answer(question, at=name)
                try:
                    notebook.run(source, name)
                except BaseException as error:  # exit() and the like too
                    leave_unless(me)
                    errors.append([name, f"{described(error)}: {error}"[:300]])
                leave_unless(me)
            line.answer(question, errors=errors)
            continue
        if question["name"] not in notebook.names:
            line.answer(question, missing=True)
            continue
        try:
            found = notebook.names[question["name"]]
            if "arguments" in question:
                named = {key: unpack(value) for key, value in question["named"].items()}
                found = found(*[unpack(value) for value in question["arguments"]], **named)
            leave_unless(me)
            line.answer(question, value=plain(found))
        except BaseException as error:
            leave_unless(me)
            line.answer(question, raised=described(error))


def become_student(
    connection: socket.socket, settings: dict, user: int | None, scratch: str, walls: Callable[[], None]
) -> None:
    """From a fork of the nursery to a student's process: walls, limits, identity, and then their code."""
    os.setsid()
    walls()
    set_limits(settings["limits"], settings["base"])
    drop_privileges(user)
    os.environ.update(HOME=scratch, TMPDIR=scratch)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    kept = connection.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, 4096)
    os.chdir(scratch)
    line = Line(connection)
    line.answer({"n": "ready"})
    serve(line)


def guard(child: int, leash: socket.socket, walled: bool) -> None:
    """Wait until a student's process ends or the grader lets go of the leash; then kill what is left of it.

    Behind walls the child is the first of its processes, and the others end with it.
    """
    ended = False
    while not ended and not select.select([leash], [], [], 0.02)[0]:
        ended = os.waitpid(child, os.WNOHANG)[0] != 0
    with contextlib.suppress(ProcessLookupError):
        if not walled:
            os.killpg(child, signal.SIGKILL)
        elif not ended:
            os.kill(child, signal.SIGKILL)
    if not ended:
        os.waitpid(child, 0)


def start_student(connection: socket.socket, leash: socket.socket, settings: dict, number: int, proc: int) -> None:
    """In a fork of the nursery: make the student's namespaces, fork the student, and guard it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    walled = settings["level"] != "limits"
    user = FIRST_USER + number % USERS if settings["user_ids"] else None
    if walled:
        if settings["level"] == "user":
            own_user_namespace(proc, 1000)
        libc_call("unshare", NEWNS | NEWPID | NEWIPC | NEWNET | NEWUTS)

    def own_folder() -> None:
        owner = f",uid={user},gid={user}" if user is not None else ""
        mount("tmpfs", SCRATCH, "tmpfs", MS_NOSUID | MS_NODEV, f"size=64m,nr_inodes=4096,mode=700{owner}")

    scratch = SCRATCH
    if not walled:
        scratch = tempfile.mkdtemp(dir=settings["home"], prefix="student-")
        if user is not None:
            os.chown(scratch, user, user)
    child = os.fork()
    if child == 0:
        try:
            leash.close()
            become_student(connection, settings, user, scratch, own_folder if walled else lambda: None)
        finally:
            os._exit(0)
    connection.close()
    guard(child, leash, walled)
    if not walled:
        shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)


# --- the nursery --------------------------------------------------------------------------------------------------


def nursery(control: socket.socket, settings: dict) -> None:
    """Import, wall in, report, and then fork for every pair of sockets that arrives."""
    if settings["preload"]:
        for module in PRELOAD:
            __import__(module)
    settings["base"] = address_space()
    proc = os.open("/proc", os.O_RDONLY) if os.path.isdir("/proc") else -1
    if settings["level"] != "limits":
        if settings["level"] == "user":
            own_user_namespace(proc, 0)
        libc_call("unshare", NEWNS | NEWNET | NEWIPC)
        wall_in(os.path.join(settings["home"], "root"), os.path.join(settings["home"], "tools"))
    control.sendall(json.dumps({"lacking": lacking_limits(settings)}).encode() + b"\n")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the guards
    number = 0
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 16, 2)
        if not message:
            return
        connection, leash = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        number += 1
        if os.fork() == 0:
            control.close()
            try:
                start_student(connection, leash, settings, number, proc)
            finally:
                os._exit(1)
        connection.close()
        leash.close()


def main() -> None:
    control, settings = socket.socket(fileno=int(sys.argv[1])), json.loads(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the grader's business
    try:
        nursery(control, settings)
    except Exception as error:  # the grader decides what to do without these walls
        control.sendall(json.dumps({"failed": f"{type(error).__name__}: {error}"}).encode() + b"\n")


if __name__ == "__main__":
    main()

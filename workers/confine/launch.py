"""A confined tool's keeper: makes the child, confines it, watches over it, and ends all that it left.

A program of its own, run by the shortest of Pythons, so it imports nothing of Mooring and little of anything
else. It gets the numbers of two descriptors: the first holds its orders (run.py), into the second go the
tool's process id and, at the end, how it ended. When the other end of its standard input is gone, so is the
one who wanted the output, however he died: then it ends everything.

The tool gets a session of its own, which it cannot leave, so that one signal ends all of it; and orphans
come back here, since we adopt what is below us.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import resource
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # the module `typing` is another that takes its time
    from typing import Any

# The module `signal` would take longer over its enumerations than the rest here over everything.
_SIGKILL, _SIGPIPE, _SIG_SETMASK = 9, 13, 2
_ENAMETOOLONG = 36
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_CAPBSET_DROP = 1, 22, 24
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_SECCOMP_MODE_FILTER = 2
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_PATH_BENEATH = 1
_CAPABILITY_VERSION_3 = 0x20080522
_CAPSET = {"x86_64": 126, "aarch64": 91}

_DISK_TICK_S = 0.25
_RARELY = 10  # at most one part in so many of the time goes into looking
# A tool is nicer than its keeper, who is to end it whatever it does: else a fork bomb leaves the keeper no
# processor, and has thousands of processes before it is heard of again.
_NICER = 6

_FILTER_FD = 9  # where bwrap.py says that it is

_One = tuple[bytes, int, int, int]  # of a process: state, parent, threads, resident pages
_PAGE = resource.getpagesize()
_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    """`struct sock_fprog`"""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def main() -> None:
    read_from, report = int(sys.argv[1]), int(sys.argv[2])
    with open(read_from, "rb") as file:
        orders = marshal.loads(file.read())  # noqa: S302 - from the one who started us
    give_way()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    failing, failed = os.pipe()
    tool = os.fork()
    if tool == 0:
        try:
            os.close(report)
            _become(orders)
        except BaseException as error:  # whatever it is, nothing may go on from here unconfined
            os.write(failed, str(error).encode()[:1000])
        finally:
            os._exit(127)
    os.write(report, marshal.dumps(tool))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (failed, 1, 2):  # who reads from the tool reads until nobody else has them
        os.dup2(nowhere, descriptor)
    why = ""
    try:
        why = _watch(tool, orders)
    finally:
        status = _end(tool)
        os.write(report, marshal.dumps((status, why, os.read(failing, 1000))))
    os._exit(0)  # nobody waits for a Python that tidies up


# --- the child, until it is the tool ----------------------------------------------------------------
def _become(orders: dict[str, Any]) -> None:
    keeper = os.getppid()
    os.setsid()
    os.nice(_NICER)
    give_way()
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != keeper:
        return
    os.dup2(orders["stdin"], 0)
    os.close(orders["stdin"])
    with open("/proc/self/oom_score_adj", "w") as score:  # noqa: PTH123 - rather the tool than a worker
        score.write("1000")
    os.chdir(orders["cwd"])
    ruleset = _ruleset(orders) if orders["landlock"] else -1
    for which, most in orders["limits"]:
        most = min([most, *(each for each in resource.getrlimit(which) if each >= 0)])
        resource.setrlimit(which, (most, most))
    os.umask(0o077)
    _libc.sigprocmask(_SIG_SETMASK, bytes(128), None)  # whatever the worker's thread has blocked
    _libc.signal(_SIGPIPE, None)  # the default; SIGXFSZ stays ignored, as Python has it: a tool then says why
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if not orders["wrapped"]:  # bwrap wants root's to make namespaces of root, and drops them then
        _drop_capabilities()
    if ruleset >= 0:
        _syscall(_RESTRICT_SELF, ruleset, 0)
        os.close(ruleset)
    if orders["wrapped"]:
        file = os.memfd_create("filter")
        os.write(file, orders["filter"])
        os.lseek(file, 0, os.SEEK_SET)
        os.dup2(file, _FILTER_FD)
    elif orders["filter"]:
        program = _Program(len(orders["filter"]) // 8, orders["filter"])
        _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program))
    os.execve(orders["argv"][0], orders["argv"], orders["env"])  # noqa: S606 - there must be no shell


def give_way() -> None:
    """Where the kernel shares out processors between sessions first, a new one has a full share: how nice we
    are counts only inside. So the session that we lead becomes as nice as we are.
    https://man7.org/linux/man-pages/man7/sched.7.html ("The autogroup feature")"""
    nice = os.nice(0)
    if nice and os.getsid(0) == os.getpid():
        try:
            with open("/proc/self/autogroup", "w") as share:  # noqa: PTH123
                share.write(str(nice))
        except OSError:
            pass  # not such a kernel


def _ruleset(orders: dict[str, Any]) -> int:
    attributes = orders["landlock"]
    ruleset = _syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    for path, allowed in orders["rules"]:
        parent = os.open(path, os.O_PATH)
        beneath = allowed.to_bytes(8, sys.byteorder) + parent.to_bytes(4, sys.byteorder)
        _syscall(_ADD_RULE, ruleset, _PATH_BENEATH, beneath, 0)
        os.close(parent)
    return ruleset


def _drop_capabilities() -> None:
    """Root's, too: an exec gives nothing back that was not there before it, under `no_new_privs`."""
    for capability in range(64):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # the last that this kernel knows, or not ours to drop
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    if _libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be dropped")


def _prctl(option: int, *values: Any) -> None:
    # Each as wide as the kernel reads it, or the rest would be what happens to stand there.
    padded = [ctypes.c_ulong(one) if isinstance(one, int) else one for one in (*values, 0, 0, 0, 0)[:4]]
    if _libc.prctl(option, *padded) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}: {os.strerror(ctypes.get_errno())}")


def _syscall(number: int, *arguments: Any) -> int:
    result = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"Landlock ({number}): {os.strerror(ctypes.get_errno())}")
    return int(result)


# --- the keeper -------------------------------------------------------------------------------------
def _watch(tool: int, orders: dict[str, Any]) -> str:
    """Why the tool has to be ended, or "" when it has ended by itself.

    Where others have the processors, the tool waits for them as we do: that is no time that it had.
    """
    left, now = orders["seconds"], time.monotonic()
    ended, poll = os.pidfd_open(tool), select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(0, 0)  # hears when the other end is closed
    tick, disk_at = orders["tick"], now + _DISK_TICK_S
    while True:
        before, now = now, time.monotonic()
        left -= min(now - before, 2 * tick)
        if left <= 0:
            return "seconds"
        events = dict(poll.poll(min(left, tick) * 1000))
        if ended in events:
            return ""
        if 0 in events:
            return "unwanted"
        # What looking costs is what we computed: with what we waited for others, a tick would grow so long
        # that all of it were the tool's time again.
        began = time.process_time()
        family = _family()
        _reap(family, tool)
        if len(family) > orders["processes"] or sum(one[2] for one in family.values()) > orders["threads"]:
            return "processes"
        if sum(one[3] for one in family.values()) * _PAGE > orders["memory"]:
            return "memory"
        if now >= disk_at:
            if _disk(orders, family):
                return "disk"
            disk_at = time.monotonic() + max(_DISK_TICK_S, _RARELY * (time.process_time() - began))
        tick = max(orders["tick"], _RARELY * (time.process_time() - began))


def _family() -> dict[int, _One]:
    """Everybody below us."""
    everybody = dict[int, _One]()
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            try:
                descriptor = os.open(f"/proc/{name}/stat", os.O_RDONLY)
            except OSError:
                continue
            try:
                fields = os.read(descriptor, 1024).rpartition(b")")[2].split()
            except OSError:
                continue
            finally:
                os.close(descriptor)
            # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html, from the third field on
            everybody[int(name)] = (fields[0], int(fields[1]), int(fields[17]), int(fields[21]))
    below, found = {os.getpid()}, dict[int, _One]()
    while True:
        more = {pid: one for pid, one in everybody.items() if one[1] in below and pid not in found}
        if not more:
            return found
        found.update(more)
        below = set(more)


def _disk(orders: dict[str, Any], family: dict[int, _One]) -> bool:
    """Whether too much is on the disk: in the scratch directory, or in files that have no name any more."""
    most, most_files, used, files = orders["disk"], orders["files"], 0, 0
    waiting = [orders["directory"]]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    files += 1
                    try:
                        used += entry.stat(follow_symlinks=False).st_blocks * 512
                    except FileNotFoundError:
                        continue  # gone meanwhile
                    if used > most or files > most_files:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError as error:
            if error.errno == _ENAMETOOLONG:
                return True  # deeper than any path reaches: nobody would see what is there
    seen = set()
    for pid in family:
        try:
            descriptors = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                found = os.stat(f"/proc/{pid}/fd/{descriptor}")  # noqa: PTH116
            except OSError:
                continue
            if found.st_nlink == 0 and (found.st_dev, found.st_ino) not in seen:
                seen.add((found.st_dev, found.st_ino))
                used += found.st_blocks * 512
    return bool(used > most)


def _reap(family: dict[int, _One], tool: int) -> None:
    """Orphans that have ended; never the tool itself, whose id has to stay its own until all is over."""
    for pid, (state, parent, _, _) in family.items():
        if state == b"Z" and parent == os.getpid() and pid != tool:
            os.waitpid(pid, os.WNOHANG)


def _end(tool: int) -> int:
    """Ends the tool and everything it left; how the tool itself ended, as `os.waitpid` says it."""
    status = 0
    _kill(-tool)
    _kill(tool)  # it may not have come to its own session yet
    while True:
        try:
            pid, its_status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == tool:
            status = its_status
        elif pid == 0:
            for each in _family():
                _kill(each)
            time.sleep(0.001)


def _kill(pid: int) -> None:
    try:  # noqa: SIM105 - contextlib takes its time, too
        os.kill(pid, _SIGKILL)
    except OSError:
        pass  # gone already


if __name__ == "__main__":
    main()

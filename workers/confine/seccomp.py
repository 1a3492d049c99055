"""Which calls of the kernel a confined tool may make, as a filter of seccomp.

A list of what is allowed: whatever the next kernel brings is not there for a tool. It holds what Landlock
leaves open: sockets of every kind, changes of mode, owner and time of files that are not the tool's, signals
on kernels before 6.12, leaving the process group, and memory that no limit counts.
https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import errno
import functools
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

Table = dict[str, tuple[int | None, int | None]]


def _table(text: str) -> Table:
    """`name:number on x86_64:number on aarch64`, `-` for none."""
    rows = (word.split(":") for word in text.split())
    return {name: (_number(x86_64), _number(aarch64)) for name, x86_64, aarch64 in rows}


def _number(text: str) -> int | None:
    return None if text == "-" else int(text)


# No memfd_create, no shmget: memory that belongs to no process. No sendmsg: it would carry open files to
# where nobody counts them. No clone3 and openat2: their arguments are behind pointers, and libraries do
# without. No inotify, no name_to_handle_at: they take paths that Landlock does not look at.
_ALLOWED: Final = _table(
    """
    read:0:63 write:1:64 close:3:57 stat:4:- fstat:5:80 lstat:6:- newfstatat:262:79 statx:332:291 poll:7:-
    ppoll:271:73 lseek:8:62 pread64:17:67 pwrite64:18:68 readv:19:65 writev:20:66 preadv:295:69
    pwritev:296:70 preadv2:327:286 pwritev2:328:287 access:21:- faccessat:269:48 faccessat2:439:439
    pipe:22:- pipe2:293:59 select:23:- pselect6:270:72 dup:32:23 dup2:33:- dup3:292:24 sendfile:40:71
    copy_file_range:326:285 splice:275:76 tee:276:77 flock:73:32 fsync:74:82 fdatasync:75:83
    sync_file_range:277:84 ftruncate:77:46 getdents:78:- getdents64:217:61 getcwd:79:17
    chdir:80:49 fchdir:81:50 rename:82:- renameat:264:38 renameat2:316:276 mkdir:83:- mkdirat:258:34
    rmdir:84:- creat:85:- link:86:- linkat:265:37 unlink:87:- unlinkat:263:35 symlink:88:-
    symlinkat:266:36 readlink:89:- readlinkat:267:78 umask:95:166 mknod:133:- mknodat:259:33 statfs:137:43
    fstatfs:138:44 readahead:187:213 fadvise64:221:223
    mprotect:10:226 munmap:11:215 brk:12:214 mremap:25:216 madvise:28:233 msync:26:227 mincore:27:232
    membarrier:324:283
    execve:59:221 execveat:322:281 exit:60:93 exit_group:231:94 wait4:61:260 waitid:247:95 fork:57:-
    vfork:58:- getpid:39:172 getppid:110:173 gettid:186:178 getuid:102:174 geteuid:107:175 getgid:104:176
    getegid:108:177 getgroups:115:158 getpgrp:111:- getpgid:121:155 getsid:124:156 getresuid:118:148
    getresgid:120:150 capget:125:90 getrlimit:97:163 setrlimit:160:164 getrusage:98:165 times:100:153
    sysinfo:99:179 uname:63:160 getpriority:140:141 sched_yield:24:124 sched_getaffinity:204:123
    sched_getparam:143:121 sched_getscheduler:145:120 sched_get_priority_max:146:125
    sched_get_priority_min:147:126 getcpu:309:168
    rt_sigaction:13:134 rt_sigprocmask:14:135 rt_sigreturn:15:139 rt_sigpending:127:136
    rt_sigtimedwait:128:137 rt_sigsuspend:130:133 sigaltstack:131:132 pause:34:- alarm:37:-
    setitimer:38:103 getitimer:36:102 timer_create:222:107 timer_settime:223:110 timer_gettime:224:108
    timer_getoverrun:225:109 timer_delete:226:111
    clock_gettime:228:113 clock_getres:229:114 clock_nanosleep:230:115 nanosleep:35:101
    gettimeofday:96:169 time:201:- timerfd_create:283:85 timerfd_settime:286:86 timerfd_gettime:287:87
    futex:202:98 futex_waitv:449:449 set_robust_list:273:99 get_robust_list:274:100 set_tid_address:218:96
    rseq:334:293 restart_syscall:219:128 arch_prctl:158:- eventfd:284:- eventfd2:290:19 epoll_create:213:-
    epoll_create1:291:20 epoll_ctl:233:21 epoll_wait:232:- epoll_pwait:281:22 epoll_pwait2:441:441
    getrandom:318:278
    sendto:44:206 recvfrom:45:207 recvmsg:47:212 shutdown:48:210 getsockopt:55:209 setsockopt:54:208
    getsockname:51:204 getpeername:52:205
    """
)

# Done in word only. Of these Landlock knows nothing, so that a tool could change what belongs to the user it
# runs as, wherever that is; but programs that set a mode or a time mean no harm, and end when told that they
# cannot. And nobody leaves the session that is ended as a whole.
_PRETENDED: Final = _table(
    """
    chmod:90:- fchmod:91:52 fchmodat:268:53 fchmodat2:452:452 chown:92:- fchown:93:55 lchown:94:-
    fchownat:260:54 utime:132:- utimes:235:- utimensat:280:88 futimesat:261:- setsid:112:157
    setpgid:109:154
    """
)

# "Operation not permitted"; whatever is in no list is "not implemented".
_DENIED: Final = _table(
    """
    socket:41:198 truncate:76:45 ptrace:101:117 unshare:272:97 setns:308:268 mount:165:40 umount2:166:39
    chroot:161:51 pivot_root:155:41 bpf:321:280 keyctl:250:219 add_key:248:217 request_key:249:218
    perf_event_open:298:241 setuid:105:146 setgid:106:144 setreuid:113:145 setregid:114:143
    setresuid:117:147 setresgid:119:149 setgroups:116:159 setfsuid:122:151 setfsgid:123:152 capset:126:91
    setpriority:141:140 sched_setaffinity:203:122 sched_setparam:142:118 sched_setscheduler:144:119
    sched_setattr:314:274 ioprio_set:251:30 process_vm_readv:310:270 process_vm_writev:311:271
    kcmp:312:272
    """
)

# Attributes, which Landlock does not hold; and a gigabyte taken in no time, before anybody has looked.
_UNSUPPORTED: Final = _table(
    """
    fallocate:285:47
    setxattr:188:5 lsetxattr:189:6 fsetxattr:190:7 getxattr:191:8 lgetxattr:192:9 fgetxattr:193:10
    listxattr:194:11 llistxattr:195:12 flistxattr:196:13 removexattr:197:14 lremovexattr:198:15
    fremovexattr:199:16
    """
)

_SIGNALS: Final = _table(
    """
    kill:62:129 tkill:200:130 tgkill:234:131
    """
)

# Allowed with certain arguments, below.
_CHECKED: Final = _table(
    """
    open:2:- openat:257:56 mmap:9:222 fcntl:72:25 ioctl:16:29 prctl:157:167 prlimit64:302:261 clone:56:220
    socketpair:53:199
    """
)

# https://github.com/torvalds/linux/blob/master/include/uapi/linux/audit.h
_ARCHITECTURES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_ALLOW: Final = 0x7FFF0000
_KILL_PROCESS: Final = 0x80000000
_ERRNO: Final = 0x00050000
_PRETEND: Final = _ERRNO

# https://docs.kernel.org/networking/filter.html; offsets are those of `struct seccomp_data`.
_LOAD, _EQUAL, _GREATER, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x54, 0x06
_NUMBER_AT, _ARCH_AT = 0, 4

_Instruction = tuple[int, int, int, int]

_O_ACCMODE, _O_TRUNC = 0o3, 0o1000
_MAP_TYPE, _MAP_PRIVATE = 0xF, 0x2
# Namespaces, and a parent that is not the caller.
_CLONE_REFUSED: Final = 0x7E020000 | 0x00008000
# Descriptors, flags and locks; no owners for signals, leases on others' files, or larger pipes.
_FCNTL: Final = (*range(8), 36, 37, 38, 1030, 1032, 1034)
# What a file or terminal is, blocking and closing; nothing that marks files (FS_IOC_*).
_IOCTL: Final = (0x5401, 0x5413, 0x540F, 0x541B, 0x5421, 0x5450, 0x5451, 0x802C542A)
# Names of threads and memory. Never the signal at the parent's death, nor what hides a process.
_PRCTL: Final = (3, 15, 16, 23, 0x53564D41)
_AF_UNIX, _SOCK_STREAM, _SOCK_TYPE = 1, 1, 0xF


def supported(machine: str) -> bool:
    """Whether there is a filter for this `platform.machine()`."""
    return machine in _ARCHITECTURES


@functools.cache
def program(machine: str, *, signals: bool) -> bytes:
    """The filter for `machine`. Without `signals` a tool can send none but to its whole group: for kernels
    that do not hold them inside the tool by themselves."""
    column, arch = _ARCHITECTURES[machine]
    allowed = _ALLOWED | (_SIGNALS if signals else {})
    code = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_EQUAL, 1, 0, arch),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    for name, verdict in _checks(signals):
        if (number := (_CHECKED | _SIGNALS)[name][column]) is not None:
            code += [(_EQUAL, 0, len(verdict), number), *verdict]
    for table, action in (
        (allowed, _ALLOW),
        (_PRETENDED, _PRETEND),
        (_DENIED, _ERRNO | errno.EPERM),
        (_UNSUPPORTED, _ERRNO | errno.EOPNOTSUPP),
    ):
        for low, high in _ranges(row[column] for row in table.values()):
            code += [(_AT_LEAST, 0, 2, low), (_GREATER, 1, 0, high), (_RETURN, 0, 0, action)]
    code.append((_RETURN, 0, 0, _ERRNO | errno.ENOSYS))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _checks(signals: bool) -> Iterator[tuple[str, list[_Instruction]]]:
    # A file that is opened to be read (or for nothing, 3) and is emptied by that: Landlock before its third
    # edition sees only the reading.
    emptied = (_O_TRUNC, _O_TRUNC | _O_ACCMODE)
    yield "open", _unless(1, _O_ACCMODE | _O_TRUNC, emptied, errno.EACCES)
    yield "openat", _unless(2, _O_ACCMODE | _O_TRUNC, emptied, errno.EACCES)
    # Shared memory stays when nobody has it in sight, and a file that is written through it too.
    yield "mmap", _only(3, _MAP_TYPE, (_MAP_PRIVATE,), errno.ENODEV)
    yield "fcntl", _only(1, 0, _FCNTL, errno.EINVAL)
    yield "ioctl", _only(1, 0, _IOCTL, errno.ENOTTY)
    yield "prctl", _only(0, 0, _PRCTL, errno.EINVAL)
    yield "prlimit64", _only(0, 0, (0,), errno.EPERM)
    yield "clone", [_load(0), (_ANY_BIT, 0, 1, _CLONE_REFUSED), _error(errno.EPERM), (_RETURN, 0, 0, _ALLOW)]
    # A pair of streams reaches nobody; datagrams could be sent to any address.
    pair = _only(1, _SOCK_TYPE, (_SOCK_STREAM,), errno.EPERM)
    yield "socketpair", [_load(0), (_EQUAL, 1, 0, _AF_UNIX), _error(errno.EPERM), *pair]
    if not signals:
        yield "kill", _only(0, 0, (0,), errno.EPERM)
        yield "tkill", [_error(errno.EPERM)]
        yield "tgkill", [_error(errno.EPERM)]


def _only(argument: int, mask: int, values: Sequence[int], error: int) -> list[_Instruction]:
    """Allowed where the argument, masked (0: as it is), is one of `values`."""
    return [*_find(argument, mask, values), _error(error), (_RETURN, 0, 0, _ALLOW)]


def _unless(argument: int, mask: int, values: Sequence[int], error: int) -> list[_Instruction]:
    """Allowed unless the argument, masked, is one of `values`."""
    return [*_find(argument, mask, values), (_RETURN, 0, 0, _ALLOW), _error(error)]


def _find(argument: int, mask: int, values: Sequence[int]) -> list[_Instruction]:
    """Goes on with the next instruction, or with the one after it where one of `values` is found."""
    masked = [(_AND, 0, 0, mask)] if mask else []
    count = len(values)
    return [_load(argument), *masked, *((_EQUAL, count - at, 0, value) for at, value in enumerate(values))]


def _load(argument: int) -> _Instruction:
    return (_LOAD, 0, 0, 16 + 8 * argument)  # the low half: the kernel takes these as 32 bits


def _error(number: int) -> _Instruction:
    return (_RETURN, 0, 0, _ERRNO | number)


def _ranges(numbers: Iterable[int | None]) -> Iterator[tuple[int, int]]:
    """Neighbours together: a tool makes many calls, and each goes through the filter."""
    ordered = sorted(number for number in numbers if number is not None)
    low = high = ordered[0]
    for number in ordered[1:]:
        if number > high + 1:
            yield low, high
            low = number
        high = number
    yield low, high

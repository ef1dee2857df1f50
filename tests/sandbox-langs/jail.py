# jail - a small jail for the tests of configs/sandbox/languages.py: what lib/jail.c gives a job, in Python
#
# Namespaces, a root of read-only /usr, a private /tmp, an unprivileged user, Landlock, the
# seccomp policy of lib/jail_filter.c; the caller sets the rlimits.  It is for tests only and says nothing about what is enforced: it fails if anything is missing.
import ctypes
import errno
import os
import re
import struct

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 1, 2, 4, 32, 4096, 16384, 1 << 18, 2
ALLOW, KILL, ERRNO = 0x7fff0000, 0x80000000, 0x50000
USER = 0x70001000

libc = ctypes.CDLL(None, use_errno=True)


def must(rc, what):
    if rc != 0:
        raise OSError(ctypes.get_errno(), '%s: %s' % (what, os.strerror(ctypes.get_errno())))


def mount(source, target, kind, flags, data=''):
    must(libc.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode()), 'mount ' + target)


def make_root(shown, tmp_mib):
    """A root of /usr, five devices, the directories in shown (path inside: path outside), and /tmp."""
    mount('none', '/', '', MS_REC | MS_PRIVATE)
    mount('tmpfs', '/mnt', 'tmpfs', MS_NOSUID, 'size=1m,mode=755')
    for d in ('usr', 'bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'):
        if os.path.islink('/' + d):
            os.symlink(os.readlink('/' + d), '/mnt/' + d)
        elif os.path.isdir('/' + d):
            shown = dict(shown, **{'/' + d: '/' + d})
    for inside, outside in shown.items():
        os.makedirs('/mnt' + inside)
        mount(outside, '/mnt' + inside, '', MS_BIND | MS_REC)
        mount('', '/mnt' + inside, '', MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID)
    os.mkdir('/mnt/dev')
    for d in ('null', 'zero', 'full', 'random', 'urandom'):
        open('/mnt/dev/' + d, 'w').close()
        mount('/dev/' + d, '/mnt/dev/' + d, '', MS_BIND)
    os.mkdir('/mnt/tmp')
    os.mkdir('/mnt/etc')
    os.chdir('/mnt')
    must(libc.syscall(155, b'.', b'.'), 'pivot_root')
    must(libc.umount2(b'.', MNT_DETACH), 'umount')
    os.chdir('/')
    mount('', '/', '', MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    mount('tmpfs', '/tmp', 'tmpfs', MS_NOSUID | MS_NODEV, 'size=%dm,nr_inodes=2048,mode=1777' % tmp_mib)
    os.chdir('/tmp')


class Filter:
    """lib/jail_filter.c's rules, loaded through libseccomp."""

    class Compare(ctypes.Structure):
        _fields_ = [('arg', ctypes.c_uint), ('op', ctypes.c_int), ('a', ctypes.c_uint64), ('b', ctypes.c_uint64)]

    def __init__(self, path):
        with open(path) as f:
            text = f.read()
        self.killed = re.findall(r'"(\w+)"', re.search(r'\bkilled\[\] = \{(.*?)\};', text, re.S).group(1))
        self.denied = re.findall(r'\{"(\w+)", (E\w+)\}', re.search(r'\bdenied\[\] = \{(.*?)\};', text, re.S).group(1))
        self.lib = ctypes.CDLL('libseccomp.so.2')
        self.lib.seccomp_init.restype = ctypes.c_void_p
        self.lib.seccomp_init.argtypes = [ctypes.c_uint32]
        self.lib.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p]
        self.lib.seccomp_load.argtypes = [ctypes.c_void_p]
        self.context = self.lib.seccomp_init(ALLOW)
        for name in self.killed:
            self.rule(KILL, name)
        for name, number in self.denied:
            self.rule(ERRNO | getattr(errno, number), name)
        for flag in (CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET, 0x2000000, 0x10000000):
            self.rule(KILL, 'clone', self.Compare(0, 7, flag, flag))  # SCMP_CMP_MASKED_EQ
        self.rule(KILL, 'personality', self.Compare(0, 1, 0xffffffff, 0))  # SCMP_CMP_NE

    def rule(self, action, name, compare=None):
        number = self.lib.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            rc = self.lib.seccomp_rule_add_array(self.context, action, number, 1 if compare else 0, ctypes.byref(compare) if compare else None)
            if rc != 0:
                raise OSError(-rc, 'seccomp rule ' + name)

    def load(self):
        rc = self.lib.seccomp_load(self.context)
        if rc != 0:
            raise OSError(-rc, 'seccomp')


def landlock(shown):
    """The second lock on files, as configs/sandbox/zygote.py has it; nothing where the kernel has none."""
    abi = libc.syscall(444, None, 0, 1)
    if abi < 1:
        return
    fs = (1 << (13 if abi < 2 else 14 if abi < 3 else 15 if abi < 5 else 16)) - 1
    attr = struct.pack('<Q', fs) + (struct.pack('<Q', 3) if abi >= 4 else b'') + (struct.pack('<Q', 3) if abi >= 6 else b'')
    ruleset = libc.syscall(444, attr, len(attr), 0)
    rules = [(p, 1 << 0 | 1 << 2 | 1 << 3) for p in ('/usr', '/lib', '/lib32', '/lib64', '/bin', '/sbin', *shown)]
    rules += [('/dev/' + p, 1 << 1 | 1 << 2) for p in ('null', 'zero', 'full', 'random', 'urandom')] + [('/tmp', fs)]
    for path, access in rules:
        try:
            f = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        must(libc.syscall(445, ruleset, 1, struct.pack('<Qi', access & fs, f), 0), 'landlock ' + path)
        os.close(f)
    must(libc.syscall(446, ruleset, 0), 'landlock')
    os.close(ruleset)


def enter(shown, tmp_mib, slot):
    """In a new process: become the first process of a jail.  Returns in it; its parent ends as it does, by status."""
    must(libc.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET), 'unshare (these tests need root)')
    pid = os.fork()
    if pid:
        return pid
    libc.prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG
    os.setsid()
    make_root(shown, tmp_mib)
    os.setgroups([])
    os.setresgid(USER + slot, USER + slot, USER + slot)
    os.setresuid(USER + slot, USER + slot, USER + slot)
    must(libc.prctl(38, 1, 0, 0, 0), 'no_new_privs')
    landlock(shown)
    return 0

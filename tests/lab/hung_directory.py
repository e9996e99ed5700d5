# SPDX-License-Identifier: Apache-2.0
"""`HungDirectory(path)`: a FUSE mount, served by this process, in which making a file hangs until end() is called.

Speaks the kernel's protocol itself (linux/fuse.h), since the daemon has to reach the mount by its path. When the test
ends, however it ends, /dev/fuse is closed: that aborts the connection and frees whoever hangs in it."""
import ctypes
import errno
import os
import select
import stat
import struct
import threading

LOOKUP, FORGET, GETATTR, INIT, CREATE, INTERRUPT, BATCH_FORGET = 1, 2, 3, 26, 35, 36, 42
IN_HEADER = struct.Struct("=IIQQIIII")
OUT_HEADER = struct.Struct("=IiQ")
MNT_DETACH = 2
libc = ctypes.CDLL(None, use_errno=True)


def attributes():
    """struct fuse_attr_out of a directory that everybody may write."""
    return struct.pack("=QII 6Q 10I", 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, stat.S_IFDIR | 0o777, 2, 0, 0, 0, 4096, 0)


class HungDirectory:
    def __init__(self, path):
        self.path = path
        self.hangs = threading.Event()  # somebody waits for an answer that does not come
        self.fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        self.woken, self.wake = os.pipe()
        self.thread = threading.Thread(target=self._serve, daemon=True)

        options = f"fd={self.fuse},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        if libc.mount(b"hung", self.path.encode(), b"fuse.hung", 0, options) != 0:
            raise OSError(ctypes.get_errno(), "mounting " + self.path)
        self.thread.start()

    def end(self):
        """May be called again."""
        if self.fuse < 0:
            return
        libc.umount2(self.path.encode(), MNT_DETACH)
        os.close(self.wake)
        self.thread.join(10)
        os.close(self.fuse)
        os.close(self.woken)
        self.fuse = -1

    def _serve(self):
        while True:
            if self.woken in select.select([self.fuse, self.woken], [], [])[0]:
                return
            try:
                request = os.read(self.fuse, 1 << 18)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                    continue
                return  # ENODEV: it is mounted nowhere any more
            self._answer(request)

    def _answer(self, request):
        _, operation, unique, *_ = IN_HEADER.unpack_from(request)
        if operation == INIT:
            body = struct.pack("=IIIIHHIIHHI28x", 7, 31, 65536, 0, 16, 12, 65536, 1, 0, 0, 0)
            self._reply(unique, 0, body)
        elif operation == GETATTR:
            self._reply(unique, 0, attributes())
        elif operation == LOOKUP:
            self._reply(unique, -errno.ENOENT)
        elif operation == CREATE:
            self.hangs.set()
        elif operation not in (FORGET, INTERRUPT, BATCH_FORGET):
            self._reply(unique, -errno.ENOSYS)

    def _reply(self, unique, error, body=b""):
        os.write(self.fuse, OUT_HEADER.pack(OUT_HEADER.size + len(body), error, unique) + body)

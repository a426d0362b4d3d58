"""A link with delay, loss and rate: two tap devices, and whole frames forwarded between them.

usage: shaper.py TAP_A TAP_B
Standard input, one JSON object a line, each key optional: delayMs (one way), lossPercent, bitsPerSecond (0: no bound),
queueBytes (what may wait for the rate; beyond it frames are dropped, as a router does). Both directions alike. Writes
"ready" when the devices exist; ends, and they with it, when standard input does.
"""

import fcntl
import json
import os
import random
import select
import struct
import sys
import time
from collections import deque

TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
LONGEST_FRAME = 65_553
# Only what carries data suffers: a lost ARP frame would cost a second and say nothing about the programs under test.
IP_TYPES = (b"\x08\x00", b"\x86\xdd")


def open_tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


class Shape:
    delay = 0.0
    loss = 0.0
    rate = 0.0
    queue = 256 * 1024

    def set(self, change):
        self.delay = change.get("delayMs", self.delay * 1000) / 1000
        self.loss = change.get("lossPercent", self.loss * 100) / 100
        self.rate = change.get("bitsPerSecond", self.rate * 8) / 8
        self.queue = change.get("queueBytes", self.queue)


class Direction:
    def __init__(self, source, target, shape):
        self.source, self.target, self.shape = source, target, shape
        self.free_at = 0.0  # when the last frame accepted will have left at the link's rate
        self.under_way = deque()  # (arrives at, frame), in order

    def accept(self, now):
        for _ in range(64):
            try:
                frame = os.read(self.source, LONGEST_FRAME)
            except BlockingIOError:
                return
            shape = self.shape
            if frame[12:14] not in IP_TYPES:
                self.deliver(frame)
                continue
            if shape.loss and random.random() < shape.loss:
                continue
            leaves = now
            if shape.rate:
                waiting = max(0.0, self.free_at - now) * shape.rate
                if waiting + len(frame) > shape.queue:
                    continue
                leaves = self.free_at = max(now, self.free_at) + len(frame) / shape.rate
            self.under_way.append((leaves + shape.delay, frame))

    def forward(self, now):
        while self.under_way and self.under_way[0][0] <= now:
            self.deliver(self.under_way.popleft()[1])

    def deliver(self, frame):
        try:
            os.write(self.target, frame)
        except OSError:
            pass  # the interface is down: a cable that is not plugged in


def main():
    taps = [open_tap(name) for name in sys.argv[1:3]]
    shape = Shape()
    directions = [Direction(taps[0], taps[1], shape), Direction(taps[1], taps[0], shape)]
    print("ready", flush=True)
    control = sys.stdin.buffer
    os.set_blocking(control.fileno(), False)
    line = b""
    while True:
        now = time.monotonic()
        for direction in directions:
            direction.forward(now)
        heads = [direction.under_way[0][0] for direction in directions if direction.under_way]
        timeout = max(0.0, min(heads) - time.monotonic()) if heads else None
        readable, _, _ = select.select([*taps, control], [], [], timeout)
        now = time.monotonic()
        for direction in directions:
            if direction.source in readable:
                direction.accept(now)
        if control in readable:
            part = os.read(control.fileno(), 65536)
            if not part:
                return
            *lines, line = (line + part).split(b"\n")
            for one in lines:
                shape.set(json.loads(one))


main()

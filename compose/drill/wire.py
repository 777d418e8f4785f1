"""The two protocols that a drill asks by: SRV questions over UDP, and commands of Redis."""
import os
import socket
import struct

SRV, A = 33, 1
NAME_ERROR = 3


class Nothing(Exception):
    """No answer that says anything: silence, SERVFAIL, a refused connection."""


def masters(port, name, timeout):
    """Who is named: a sorted list of addresses with ports, empty where the answer is that nobody is."""
    number = struct.unpack(">H", os.urandom(2))[0]
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    # EDNS0 with 4096 bytes, so that nothing is cut off.
    question = struct.pack(">6H", number, 0x0100, 1, 0, 0, 1) + labels + b"\0" + struct.pack(">2H", SRV, 1)
    question += b"\0" + struct.pack(">2HIH", 41, 4096, 0, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(timeout)
        asker.connect(("127.0.0.1", port))
        try:
            asker.send(question)
            answer = asker.recv(4096)
        except OSError as error:
            raise Nothing("silence" if isinstance(error, socket.timeout) else str(error)) from None
    return parse(answer, number)


def parse(answer, number):
    """Targets and ports, with each target's address out of the additional section."""
    if len(answer) < 12:
        raise Nothing("a short answer")
    got, flags, questions, answers, authority, additional = struct.unpack(">6H", answer[:12])
    code = flags & 15
    if got != number:
        raise Nothing("an answer to another question")
    if code == NAME_ERROR:
        return []
    if code:
        raise Nothing(f"RCODE {code}")
    at = 12
    for _ in range(questions):
        _, at = name_at(answer, at)
        at += 4
    found, addresses = [], {}
    for index in range(answers + authority + additional):
        owner, at = name_at(answer, at)
        kind, _, _, length = struct.unpack(">2HIH", answer[at : at + 10])
        at += 10
        if kind == SRV and index < answers:
            target, _ = name_at(answer, at + 6)
            found.append((target, struct.unpack(">H", answer[at + 4 : at + 6])[0]))
        elif kind == A:
            addresses[owner] = socket.inet_ntoa(answer[at : at + 4])
        at += length
    return sorted({f"{addresses.get(target) or of_target(target)}:{port}" for target, port in found})


def of_target(target):
    """Consul's names for addresses: c6120115.addr.dc1.consul."""
    head = target.split(".")[0]
    try:
        return socket.inet_ntoa(bytes.fromhex(head))
    except (ValueError, OSError):
        return target


def name_at(message, at):
    labels, end = [], None
    for _ in range(128):
        length = message[at]
        if length >= 192:
            end = end or at + 2
            at = struct.unpack(">H", message[at : at + 2])[0] & 0x3FFF
        elif length == 0:
            return ".".join(labels).lower(), end or at + 1
        else:
            labels.append(message[at + 1 : at + 1 + length].decode("ascii", "replace"))
            at += 1 + length
    raise Nothing("a name without an end")


class Redis:
    """A connection that sends commands and reads what comes."""

    def __init__(self, host, port, password=None, timeout=2):
        try:
            self.socket = socket.create_connection((host, port), timeout)
        except OSError as error:
            raise Nothing(f"{host}:{port}: {error}") from None
        self.reader = self.socket.makefile("rb")
        if password:
            self.ask("AUTH", password)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.reader.close()
        self.socket.close()

    def ask(self, *words):
        self.send(words)
        return self.read()

    def ask_all(self, commands):
        """In one go; the answers in order."""
        self.send(*commands)
        return [self.read() for _ in commands]

    def send(self, *commands):
        out = bytearray()
        for words in commands:
            out += b"*%d\r\n" % len(words)
            for word in words:
                word = str(word).encode()
                out += b"$%d\r\n%s\r\n" % (len(word), word)
        try:
            self.socket.sendall(out)
        except OSError as error:
            raise Nothing(str(error)) from None

    def read(self):
        try:
            line = self.reader.readline()
        except OSError as error:
            raise Nothing(str(error)) from None
        if not line.endswith(b"\r\n"):
            raise Nothing("the connection was closed")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"+":
            return rest
        if kind == b"-":
            raise Nothing(rest)
        if kind == b":":
            return int(rest)
        if kind == b"$":
            if rest == "-1":
                return None
            return self.reader.read(int(rest) + 2)[:-2].decode(errors="replace")
        if kind == b"*":
            return None if rest == "-1" else [self.read() for _ in range(int(rest))]
        raise Nothing(f"not RESP: {line!r}")


def pairs(words):
    """Names and values that come in turns, as the answers of SENTINEL do."""
    return dict(zip(words[::2], words[1::2]))

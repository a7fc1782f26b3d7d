import os
import struct
import subprocess
import time


def _page():
    with open(os.environ["GX_GPU_PAGE"], "rb") as file:
        return file.read()


def card(_):
    """What the container's page says of its cards."""
    page = _page()
    names = [page[128 + 512 * i :][:64].rstrip(b"\0").decode() for i in range(struct.unpack_from("<I", page, 12)[0])]
    uuids = [page[128 + 512 * i + 64 :][:48].rstrip(b"\0").decode() for i in range(len(names))]
    assert os.environ["NVIDIA_VISIBLE_DEVICES"] == ",".join(uuids), os.environ
    return f"{len(names)} x {names[0]} {os.environ['CUDA_VISIBLE_DEVICES']}"


def hold(_):
    """Takes memory of the card, as a program on it does, until the test releases it."""
    with open(os.environ["GX_GPU_PAGE"], "r+b") as file:
        file.seek(128 + 224)
        file.write(struct.pack("<IIQ", os.getpid(), 0, 3 << 30))
        file.flush()
        end = time.monotonic() + 150
        while not os.path.exists(os.path.join(os.environ["SHARED"], "released")) and time.monotonic() < end:
            time.sleep(0.005)
    return card(None)


def devices(_):
    return " ".join(sorted(name for name in os.listdir("/dev") if name.startswith("nvidia")))


def smi(_):
    return subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout


def who(_):
    time.sleep(0.2)
    return os.environ["GX_CONTAINER_ID"]


def fault(_):
    """What is wrong with the card, as a program finds it; it takes what is meant for it."""
    with open(os.environ["GX_GPU_PAGE"], "r+b") as file:
        file.seek(128 + 188)
        code = struct.unpack("<I", file.read(4))[0]
        if 0 < code < 15:
            file.seek(128 + 188)
            file.write(b"\0\0\0\0")
    return code


def lasts(seconds):
    time.sleep(seconds)
    return os.environ["GX_CONTAINER_ID"]

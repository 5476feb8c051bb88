"""Devices that models run on: "cpu", "gpu:N" or "gpu:UUID"."""

from __future__ import annotations

import os

# What CUDA shows this process, in order, where it is set; see `Config.visible_devices`.
_VISIBLE = "CUDA_VISIBLE_DEVICES"


class DeviceError(ValueError):
    """The device that was asked for is not there; the text says what is."""


def gpu_number(device: str) -> int:
    """The number under which this process has a GPU: of "gpu:N" or "gpu:UUID".

    Raises DeviceError for a UUID that CUDA_VISIBLE_DEVICES does not name.
    """
    identifier = device.partition(":")[2]
    if identifier.isdigit():
        return int(identifier)
    visible = os.environ.get(_VISIBLE, "").split(",")
    if identifier not in visible:
        raise DeviceError(f"{device} was asked for, but {_VISIBLE} of this process has it not")
    return visible.index(identifier)


def check_device(device: str) -> None:
    """Raise DeviceError unless this Paddle can run on `device` ("cpu", "gpu:N" or "gpu:UUID")."""
    if device == "cpu":
        return
    import paddle

    if not paddle.is_compiled_with_cuda():
        raise DeviceError(
            f"{device} was asked for, but this Paddle has no GPU support; "
            "install it with: make setup DEVICE=gpu"
        )
    number, count = gpu_number(device), paddle.device.cuda.device_count()
    if number >= count:
        raise DeviceError(f"{device} was asked for, but this process sees {count} GPU(s)")

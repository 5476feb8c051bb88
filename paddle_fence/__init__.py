"""Paddle Serving 0.9 behind a fence: the only place that imports it, on whatever Python there is.

It was made for Python 3.6 to 3.9 and protobuf 3. Two things keep it from loading on a newer Python,
and both are put right before anything of it is imported, when this package is: its generated
messages, which protobuf 4 and later refuse (`generated.py`), and ``paddle_serving_client``, which
cannot be installed (`finder.py`).

What is not meant for others is touched in `internals.py` alone, which has public names for it.

`messages` is light. `pipeline` and `stock_service` import Paddle Serving itself, which makes a log
directory, in the folder that ``SERVING_LOG_PATH`` names, and takes over the root logger.
"""

from paddle_fence.finder import install

install()

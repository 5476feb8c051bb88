"""Asks a service as the scripts of the published example do, with Paddle Serving's own packages.

Runs in an environment that has them, on a Python that they exist for: ``python published_client.py
WAY PICTURE ADDRESS``, where WAY is ``http`` with a URL, or with HOST:PORT the package whose client
is used. Prints the number of the error and the result as JSON.
"""

import base64
import importlib
import json
import os
import sys

import requests
from paddle_serving_client import Client


def main(way, picture, address):
    """Ask once."""
    with open(picture, "rb") as file:
        image = base64.b64encode(file.read()).decode("utf8")
    if way == "http":
        data = {"key": ["image"], "value": [image]}
        answer = requests.post(url=address, data=json.dumps(data), timeout=60).json()
        return [answer["err_no"], answer["value"][0]]
    client = importlib.import_module(way + ".pipeline").PipelineClient()
    client.connect([address])
    answer = client.predict(feed_dict={"image": image}, fetch=["res"])
    return [answer.err_no, answer.value[0]]


if __name__ == "__main__":
    assert callable(Client)
    print(json.dumps(main(*sys.argv[1:])), flush=True)
    # The threads of its clients outlive the interpreter and complain.
    os._exit(0)

"""A stock Paddle Serving service, which benches and tests compare with."""

from paddle_serving_app.local_predict import LocalPredictor
from paddle_serving_server.web_service import Op, WebService

__all__ = ["LocalPredictor", "Op", "WebService"]

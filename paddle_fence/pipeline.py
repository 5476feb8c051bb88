"""What the service is built on, and its tests: ops, channels and the DAG."""

from paddle_serving_server.pipeline import Op, PipelineClient, RequestOp, ResponseOp
from paddle_serving_server.pipeline.channel import (
    ChannelData,
    ChannelDataType,
    ChannelStopError,
    ThreadChannel,
)
from paddle_serving_server.pipeline.dag import DAGExecutor
from paddle_serving_server.pipeline.proto.pipeline_service_pb2_grpc import PipelineServiceStub

__all__ = [
    "ChannelData",
    "ChannelDataType",
    "ChannelStopError",
    "DAGExecutor",
    "Op",
    "PipelineClient",
    "PipelineServiceStub",
    "RequestOp",
    "ResponseOp",
    "ThreadChannel",
]

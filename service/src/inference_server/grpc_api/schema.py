"""Messages of the gRPC services, built at import from one table of fields.

Field numbers and types are those of the public protocol, so that every client's own generated
code reads and writes the same bytes. Nesting is flattened: the wire does not know it. The pool is
our own, so that a program which also imports a client's generated code sees no conflict.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto

# Message: "number name type", where `*` marks a repeated field, `{}` a map from string and
# `|` a member of the message's one choice.
_TABLE: dict[str, dict[str, str]] = {
    "inference": {
        "ServerLiveRequest": "",
        "ServerLiveResponse": "1 live bool",
        "ServerReadyRequest": "",
        "ServerReadyResponse": "1 ready bool",
        "ModelReadyRequest": "1 name string, 2 version string",
        "ModelReadyResponse": "1 ready bool",
        "ServerMetadataRequest": "",
        "ServerMetadataResponse": "1 name string, 2 version string, 3 extensions string*",
        "ModelMetadataRequest": "1 name string, 2 version string",
        "ModelMetadataResponse": (
            "1 name string, 2 versions string*, 3 platform string, "
            "4 inputs TensorMetadata*, 5 outputs TensorMetadata*"
        ),
        "TensorMetadata": "1 name string, 2 datatype string, 3 shape int64*",
        "InferParameter": (
            "1 bool_param bool|, 2 int64_param int64|, 3 string_param string|, "
            "4 double_param double|, 5 uint64_param uint64|"
        ),
        "InferTensorContents": (
            "1 bool_contents bool*, 2 int_contents int32*, 3 int64_contents int64*, "
            "4 uint_contents uint32*, 5 uint64_contents uint64*, 6 fp32_contents float*, "
            "7 fp64_contents double*, 8 bytes_contents bytes*"
        ),
        "InferTensor": (
            "1 name string, 2 datatype string, 3 shape int64*, 4 parameters InferParameter{}, "
            "5 contents InferTensorContents"
        ),
        "InferRequestedOutput": "1 name string, 2 parameters InferParameter{}",
        "ModelInferRequest": (
            "1 model_name string, 2 model_version string, 3 id string, "
            "4 parameters InferParameter{}, 5 inputs InferTensor*, "
            "6 outputs InferRequestedOutput*, 7 raw_input_contents bytes*"
        ),
        "ModelInferResponse": (
            "1 model_name string, 2 model_version string, 3 id string, "
            "4 parameters InferParameter{}, 5 outputs InferTensor*, 6 raw_output_contents bytes*"
        ),
        "ModelConfigRequest": "1 name string, 2 version string",
        "ModelConfigResponse": "1 config ModelConfig",
        "ModelConfig": (
            "1 name string, 2 platform string, 4 max_batch_size int32, 5 input ModelTensor*, "
            "6 output ModelOutput*, 7 instance_group ModelInstanceGroup*, "
            "8 default_model_filename string, 11 dynamic_batching ModelDynamicBatching, "
            "17 backend string"
        ),
        "ModelTensor": "1 name string, 2 data_type DataType, 4 dims int64*",
        "ModelOutput": "1 name string, 2 data_type DataType, 3 dims int64*",
        "ModelInstanceGroup": "1 name string, 2 count int32, 4 kind InstanceKind",
        "ModelDynamicBatching": (
            "1 preferred_batch_size int32*, 2 max_queue_delay_microseconds uint64, "
            "4 priority_levels uint64"
        ),
        "ModelStatisticsRequest": "1 name string, 2 version string",
        "ModelStatisticsResponse": "1 model_stats ModelStatistics*",
        "ModelStatistics": (
            "1 name string, 2 version string, 3 last_inference uint64, 4 inference_count uint64, "
            "5 execution_count uint64, 6 inference_stats InferStatistics, "
            "7 batch_stats InferBatchStatistics*, 8 memory_usage MemoryUsage*"
        ),
        "StatisticDuration": "1 count uint64, 2 ns uint64",
        "InferStatistics": (
            "1 success StatisticDuration, 2 fail StatisticDuration, 3 queue StatisticDuration, "
            "4 compute_input StatisticDuration, 5 compute_infer StatisticDuration, "
            "6 compute_output StatisticDuration, 7 cache_hit StatisticDuration, "
            "8 cache_miss StatisticDuration"
        ),
        "InferBatchStatistics": (
            "1 batch_size uint64, 2 compute_input StatisticDuration, "
            "3 compute_infer StatisticDuration, 4 compute_output StatisticDuration"
        ),
        "MemoryUsage": "1 type string, 2 id int64, 3 byte_size uint64",
        "RepositoryIndexRequest": "1 repository_name string, 2 ready bool",
        "RepositoryIndexResponse": "1 models ModelIndex*",
        "ModelIndex": "1 name string, 2 version string, 3 state string, 4 reason string",
        "RepositoryParameter": (
            "1 bool_param bool|, 2 int64_param int64|, 3 string_param string|, 4 bytes_param bytes|"
        ),
        # Triton numbers the model's name 2, KServe 1; KServe's answers say what became of it.
        "RepositoryModelLoadRequest": (
            "1 repository_name string, 2 model_name string, 3 parameters RepositoryParameter{}"
        ),
        "RepositoryModelLoadResponse": "1 model_name string, 2 is_loaded bool",
        "RepositoryModelUnloadRequest": (
            "1 repository_name string, 2 model_name string, 3 parameters RepositoryParameter{}"
        ),
        "RepositoryModelUnloadResponse": "1 model_name string, 2 is_unloaded bool",
    },
    "grpc.health.v1": {
        "HealthCheckRequest": "1 service string",
        "HealthCheckResponse": "1 status ServingStatus",
    },
    "google.rpc": {
        "Status": "1 code int32, 2 message string, 3 details Any*",
        "Any": "1 type_url string, 2 value bytes",
        "RetryInfo": "1 retry_delay Duration",
        "Duration": "1 seconds int64, 2 nanos int32",
    },
}

_ENUMS: dict[str, dict[str, str]] = {
    "inference": {
        "DataType": (
            "TYPE_INVALID TYPE_BOOL TYPE_UINT8 TYPE_UINT16 TYPE_UINT32 TYPE_UINT64 TYPE_INT8 "
            "TYPE_INT16 TYPE_INT32 TYPE_INT64 TYPE_FP16 TYPE_FP32 TYPE_FP64 TYPE_STRING TYPE_BF16"
        ),
        "InstanceKind": "KIND_AUTO KIND_GPU KIND_CPU KIND_MODEL",
    },
    "grpc.health.v1": {"ServingStatus": "UNKNOWN SERVING NOT_SERVING SERVICE_UNKNOWN"},
    "google.rpc": {},
}


def message(name: str) -> Any:
    """The message class of a full name, such as `inference.ModelInferRequest`."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


def _file(package: str) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"inference_server/{package}", package=package, syntax="proto3"
    )
    for name, values in _ENUMS[package].items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values.split()):
            enum.value.add(name=value, number=number)
    for name, fields in _TABLE[package].items():
        kind = file.message_type.add(name=name)
        for field in filter(None, fields.split(", ")):
            position, label, type_name = field.split()
            _add(kind, package, int(position), label, type_name)
    return file


def _add(
    kind: descriptor_pb2.DescriptorProto, package: str, number: int, name: str, type_name: str
) -> None:
    field = kind.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if type_name.endswith("{}"):
        entry = kind.nested_type.add(name=name.capitalize() + "Entry")
        entry.options.map_entry = True
        _add(entry, package, 1, "key", "string")
        _add(entry, package, 2, "value", type_name.removesuffix("{}"))
        field.label = _Field.LABEL_REPEATED
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{package}.{kind.name}.{entry.name}"
        return
    if type_name.endswith("*"):
        field.label = _Field.LABEL_REPEATED
    if type_name.endswith("|"):
        if not kind.oneof_decl:
            kind.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    bare = type_name.rstrip("*|")
    if bare in _TABLE[package]:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{package}.{bare}"
    elif bare in _ENUMS[package]:
        field.type, field.type_name = _Field.TYPE_ENUM, f".{package}.{bare}"
    else:
        field.type = _Field.Type.Value(f"TYPE_{bare.upper()}")


def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for package in _TABLE:
        pool.AddSerializedFile(_file(package).SerializeToString())
    return pool


_POOL = _pool()

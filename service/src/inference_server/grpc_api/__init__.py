"""The Open Inference Protocol over gRPC; imported only where GRPC_PORT is set."""

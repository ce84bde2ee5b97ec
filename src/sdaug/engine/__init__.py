"""UNet and ControlNet outside PyTorch: exported to ONNX, run by onnxruntime on the processor that is named."""

// From a C++ class to an OrtCustomOp. An operator class has
//
//   static constexpr const char* kName;
//   static constexpr Port kInputs[], kOutputs[];
//   explicit Op(const Attributes&);          once per node; may throw Failure
//   void Compute(Context&) const;            any number of threads at once; may throw Failure
//
// Every message that reaches ONNX Runtime begins with the operator and the node.
#pragma once

#include <exception>
#include <iterator>
#include <memory>
#include <string>

#include "kernel.h"

namespace longcat::ops {

struct Port {
    const char* name;
    ONNXTensorElementDataType type;  // UNDEFINED: any, the operator checks it
    OrtCustomOpInputOutputCharacteristic characteristic = INPUT_OUTPUT_REQUIRED;
};

inline constexpr ONNXTensorElementDataType kAny = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
inline constexpr ONNXTensorElementDataType kFloat = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
inline constexpr ONNXTensorElementDataType kBFloat16 = ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
inline constexpr ONNXTensorElementDataType kInt64 = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
inline constexpr ONNXTensorElementDataType kInt32 = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
inline constexpr ONNXTensorElementDataType kInt8 = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8;
inline constexpr ONNXTensorElementDataType kUInt8 = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;

// Runs body; what it throws becomes a status.
template <class Body>
OrtStatus* Guard(const char* op, const std::string& node, Body&& body) noexcept {
    try {
        body();
        return nullptr;
    } catch (const std::exception& error) {
        try {
            return api->CreateStatus(ORT_INVALID_ARGUMENT, ("longcat::" + std::string(op) + " '" + node + "': " + error.what()).c_str());
        } catch (...) {
        }
    } catch (...) {
    }
    return api->CreateStatus(ORT_FAIL, "longcat: an operator failed and its message could not be built");
}

template <class Op>
struct CustomOp : OrtCustomOp {
    struct Node {
        std::string name;
        Op op;
    };

    CustomOp() : OrtCustomOp{} {
        version = kApiVersion;
        GetName = [](const OrtCustomOp*) { return Op::kName; };
        GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return nullptr; };
        GetInputType = [](const OrtCustomOp*, size_t i) { return Op::kInputs[i].type; };
        GetInputTypeCount = [](const OrtCustomOp*) { return std::size(Op::kInputs); };
        GetOutputType = [](const OrtCustomOp*, size_t i) { return Op::kOutputs[i].type; };
        GetOutputTypeCount = [](const OrtCustomOp*) { return std::size(Op::kOutputs); };
        GetInputCharacteristic = [](const OrtCustomOp*, size_t i) { return Op::kInputs[i].characteristic; };
        GetOutputCharacteristic = [](const OrtCustomOp*, size_t i) { return Op::kOutputs[i].characteristic; };
        GetInputMemoryType = [](const OrtCustomOp*, size_t) { return OrtMemTypeDefault; };
        GetVariadicInputMinArity = [](const OrtCustomOp*) { return 1; };
        GetVariadicInputHomogeneity = [](const OrtCustomOp*) { return 0; };
        GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 1; };
        GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 0; };
        GetStartVersion = [](const OrtCustomOp*) { return 1; };
        GetEndVersion = [](const OrtCustomOp*) { return 1; };
        CreateKernelV2 = [](const OrtCustomOp*, const OrtApi*, const OrtKernelInfo* info, void** kernel) -> OrtStatus* {
            *kernel = nullptr;
            Attributes attributes(info);
            std::string name;
            OrtStatus* status = Guard(Op::kName, name, [&] { name = attributes.NodeName(); });
            return status != nullptr ? status : Guard(Op::kName, name, [&] { *kernel = new Node{name, Op(attributes)}; });
        };
        KernelComputeV2 = [](void* kernel, OrtKernelContext* context) -> OrtStatus* {
            const Node* node = static_cast<const Node*>(kernel);
            return Guard(Op::kName, node->name, [&] {
                Context call(context);
                node->op.Compute(call);
                call.CheckThreads();
            });
        };
        KernelDestroy = [](void* kernel) { delete static_cast<Node*>(kernel); };
        // The functions without a status are never called with this version; they are filled all the same.
        CreateKernel = [](const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*) -> void* { return nullptr; };
        KernelCompute = [](void*, OrtKernelContext*) {};
    }
};

// The one instance of an operator's description; it lives as long as the library.
template <class Op>
OrtCustomOp* Describe() {
    static CustomOp<Op> description;
    return &description;
}

// Throws Failure with the kernel's message.
inline void Check(const Status& status) {
    if (!status.ok()) {
        throw Failure(status.message);
    }
}

}  // namespace longcat::ops

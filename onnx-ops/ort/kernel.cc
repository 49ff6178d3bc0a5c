#include "kernel.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#endif

namespace longcat::ops {

const OrtApi* api = nullptr;

void Fail(const char* format, ...) {
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    throw Failure(message);
}

void Check(OrtStatus* status) {
    if (status != nullptr) {
        std::string message = api->GetErrorMessage(status);
        api->ReleaseStatus(status);
        throw Failure(message);
    }
}

std::string Text(const Shape& shape) {
    std::string text = "[";
    for (size_t i = 0; i < shape.size(); i++) {
        text += (i == 0 ? "" : ", ") + (shape[i] < 0 ? std::string("any") : std::to_string(shape[i]));
    }
    return text + "]";
}

int64_t* Shape::Resize(size_t axes) {
    if (axes > kMostAxes) {
        Fail("a tensor has %zu dimensions, expected at most %zu", axes, kMostAxes);
    }
    count_ = axes;
    return sizes_;
}

int64_t Product(const Shape& shape) {
    int64_t elements = 1;
    for (int64_t dimension : shape) {
        elements *= dimension;
    }
    return elements;
}

Shape PanelShape(WeightType type, int64_t n, int64_t k) {
    int64_t panels = n / kPanelOutputs + (n % kPanelOutputs != 0);
    return type == WeightType::kFloat32 ? Shape{panels, k, kPanelOutputs} : Shape{panels, k < 0 ? k : k / 2 + k % 2, kPanelOutputs, 2};
}

CpuPath SelectPath() {
#if defined(_WIN32)
    // The C library's getenv has a copy from the start of the process; what .NET or a script set since is in the system's block alone.
    char buffer[64] = {};
    DWORD length = GetEnvironmentVariableA("LONGCAT_KERNEL", buffer, sizeof(buffer));
    const char* name = length < sizeof(buffer) ? buffer : "(more than 63 characters)";
#else
    const char* name = std::getenv("LONGCAT_KERNEL");
#endif
    CpuPath path;
    if (Status status = SelectCpuPath(name, &path); !status.ok()) {
        throw Failure(status.message);
    }
    return path;
}

// ---- attributes

namespace {

// The runtime says "not found" of an attribute of another type as well: an attribute that is there under one is not missing.
bool IsThere(const OrtKernelInfo* info, const char* name) {
    int64_t integer;
    float number;
    size_t size = 0;
    OrtStatus* as_type[] = {api->KernelInfoGetAttribute_int64(info, name, &integer), api->KernelInfoGetAttribute_float(info, name, &number),
                            api->KernelInfoGetAttribute_string(info, name, nullptr, &size),
                            api->KernelInfoGetAttributeArray_int64(info, name, nullptr, &size),
                            api->KernelInfoGetAttributeArray_float(info, name, nullptr, &size)};
    bool there = false;
    for (OrtStatus* status : as_type) {
        there |= status == nullptr;
        if (status != nullptr) {
            api->ReleaseStatus(status);
        }
    }
    return there;
}

}  // namespace

int64_t Attributes::Integer(const char* name) const {
    int64_t value;
    if (OrtStatus* status = api->KernelInfoGetAttribute_int64(info_, name, &value)) {
        api->ReleaseStatus(status);
        Fail("attribute %s is missing or not an integer", name);
    }
    return value;
}

int64_t Attributes::Integer(const char* name, int64_t otherwise) const {
    int64_t value;
    OrtStatus* status = api->KernelInfoGetAttribute_int64(info_, name, &value);
    if (status == nullptr) {
        return value;
    }
    api->ReleaseStatus(status);
    if (IsThere(info_, name)) {
        Fail("attribute %s is not an integer", name);
    }
    return otherwise;
}

WeightLayout Attributes::Layout(const char* name) const {
    int64_t value = Integer(name, 0);
    if (value != 0 && value != 1) {
        Fail("attribute %s is %lld, expected 0 (row-major) or 1 (panels of %lld outputs)", name, static_cast<long long>(value),
             static_cast<long long>(kPanelOutputs));
    }
    return static_cast<WeightLayout>(value);
}

int Attributes::Positive(const char* name) const {
    Integer(name);  // it must be there
    return Positive(name, 1);
}

int Attributes::Positive(const char* name, int otherwise) const {
    int64_t value = Integer(name, otherwise);
    if (value < 1 || value > INT32_MAX) {
        Fail("attribute %s is %lld, expected 1..%d", name, static_cast<long long>(value), INT32_MAX);
    }
    return static_cast<int>(value);
}

float Attributes::Number(const char* name) const {
    float value;
    if (OrtStatus* status = api->KernelInfoGetAttribute_float(info_, name, &value)) {
        api->ReleaseStatus(status);
        Fail("attribute %s is missing or not a float", name);
    }
    return value;
}

float Attributes::Number(const char* name, float otherwise) const {
    float value;
    OrtStatus* status = api->KernelInfoGetAttribute_float(info_, name, &value);
    if (status == nullptr) {
        return value;
    }
    api->ReleaseStatus(status);
    if (IsThere(info_, name)) {
        Fail("attribute %s is not a float", name);
    }
    return otherwise;
}

int64_t Attributes::OneOf(const char* name, std::initializer_list<int64_t> allowed, int64_t otherwise) const {
    int64_t value = Integer(name, otherwise);
    std::string list;
    for (int64_t candidate : allowed) {
        if (candidate == value) {
            return value;
        }
        list += (list.empty() ? "" : " or ") + std::to_string(candidate);
    }
    Fail("attribute %s is %lld, expected %s", name, static_cast<long long>(value), list.c_str());
}

std::string Attributes::String(const char* name) const {
    size_t size = 0;
    if (OrtStatus* status = api->KernelInfoGetAttribute_string(info_, name, nullptr, &size)) {
        api->ReleaseStatus(status);
        Fail("attribute %s is missing or not a string", name);
    }
    std::string value(size, '\0');
    Check(api->KernelInfoGetAttribute_string(info_, name, value.data(), &size));
    value.resize(size > 0 ? size - 1 : 0);  // the size counts the terminating zero
    return value;
}

std::string Attributes::String(const char* name, const char* otherwise) const { return IsThere(info_, name) ? String(name) : otherwise; }

std::vector<int64_t> Attributes::Integers(const char* name) const {
    size_t size = 0;
    if (OrtStatus* status = api->KernelInfoGetAttributeArray_int64(info_, name, nullptr, &size)) {
        api->ReleaseStatus(status);
        Fail("attribute %s is missing or not a list of integers", name);
    }
    std::vector<int64_t> values(size);
    Check(api->KernelInfoGetAttributeArray_int64(info_, name, values.data(), &size));
    return values;
}

std::string Attributes::NodeName() const {
    size_t size = 0;
    if (OrtStatus* status = api->KernelInfo_GetNodeName(info_, nullptr, &size)) {
        api->ReleaseStatus(status);
        return {};
    }
    std::string name(size, '\0');
    Check(api->KernelInfo_GetNodeName(info_, name.data(), &size));
    name.resize(size > 0 ? size - 1 : 0);
    return name;
}

std::optional<Input> Attributes::Constant(size_t index, const char* name) const {
    int constant = 0;
    const OrtValue* value = nullptr;
    if (OrtStatus* status = api->KernelInfoGetConstantInput_tensor(info_, index, &constant, &value)) {
        api->ReleaseStatus(status);  // the node has no such input
        return {};
    }
    return constant != 0 && value != nullptr ? std::optional<Input>(Input(value, index, name)) : std::nullopt;
}

// ---- inputs

namespace {

const char* Text(ONNXTensorElementDataType type) {
    switch (type) {
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
            return "float32";
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16:
            return "bfloat16";
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
            return "float16";
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
            return "float64";
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
            return "int64";
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
            return "int32";
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
            return "int8";
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
            return "uint8";
        default:
            return "another type";
    }
}

}  // namespace

Input::Input(const OrtValue* value, size_t index, const char* name) : index_(index), name_(name) {
    OrtTensorTypeAndShapeInfo* info;
    Check(api->GetTensorTypeAndShape(value, &info));
    size_t rank = 0;
    OrtStatus* status = api->GetTensorElementType(info, &type_);
    if (status == nullptr) {
        status = api->GetDimensionsCount(info, &rank);
    }
    if (status == nullptr && rank <= Shape::kMostAxes) {
        status = api->GetDimensions(info, shape_.Resize(rank), rank);
    }
    api->ReleaseTensorTypeAndShapeInfo(info);
    Check(status);
    if (rank > Shape::kMostAxes) {
        Fail("input %zu (%s) has %zu dimensions, expected at most %zu", index, name, rank, Shape::kMostAxes);
    }
    void* data;
    Check(api->GetTensorMutableData(const_cast<OrtValue*>(value), &data));  // the C API has no other form; it is only read
    data_ = data;
}

const Input& Input::HasRank(size_t rank) const {
    if (shape_.size() != rank) {
        Fail("input %zu (%s) has shape %s, expected %zu dimensions", index_, name_, ops::Text(shape_).c_str(), rank);
    }
    return *this;
}

const Input& Input::HasShape(const Shape& expected) const {
    bool fits = shape_.size() == expected.size();
    for (size_t i = 0; fits && i < expected.size(); i++) {
        fits = expected[i] < 0 || expected[i] == shape_[i];
    }
    if (!fits) {
        Fail("input %zu (%s) has shape %s, expected %s", index_, name_, ops::Text(shape_).c_str(), ops::Text(expected).c_str());
    }
    return *this;
}

void Input::Expect(ONNXTensorElementDataType type) const {
    if (type_ != type) {
        Fail("input %zu (%s) is %s, expected %s", index_, name_, Text(type_), Text(type));
    }
}

const float* Input::Floats() const {
    Expect(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
    return static_cast<const float*>(data_);
}

const int64_t* Input::Longs() const {
    Expect(ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64);
    return static_cast<const int64_t*>(data_);
}

const int32_t* Input::Ints() const {
    Expect(ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32);
    return static_cast<const int32_t*>(data_);
}

const int8_t* Input::SignedBytes() const {
    Expect(ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8);
    return static_cast<const int8_t*>(data_);
}

const uint8_t* Input::Bytes() const {
    Expect(ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
    return static_cast<const uint8_t*>(data_);
}

void Input::RefuseType(const char* expected) const { Fail("input %zu (%s) is %s, expected %s", index_, name_, Text(type_), expected); }

Weights Input::AsWeights() const {
    if (type_ == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) {
        return {data_, WeightType::kFloat32};
    }
    if (type_ == ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16) {
        return {data_, WeightType::kBFloat16};
    }
    RefuseType("float32 or bfloat16");
}

CacheType Input::AsCache() const {
    switch (type_) {
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
            return CacheType::kFloat32;
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16:
            return CacheType::kBFloat16;
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
            return CacheType::kInt8;
        default:
            RefuseType("float32, bfloat16 or uint8");
    }
}

// ---- a call

Context::~Context() {
    if (block_ != nullptr) {
        if (OrtStatus* status = api->AllocatorFree(allocator_, block_)) {
            api->ReleaseStatus(status);
        }
    }
    if (allocator_ != nullptr) {
        api->ReleaseAllocator(allocator_);
    }
}

size_t Context::InputCount() const {
    if (input_count_ == SIZE_MAX) {
        Check(api->KernelContext_GetInputCount(context_, &input_count_));
    }
    return input_count_;
}

bool Context::HasInput(size_t index) const {
    if (index >= InputCount()) {
        return false;
    }
    const OrtValue* value = nullptr;
    Check(api->KernelContext_GetInput(context_, index, &value));
    return value != nullptr;
}

Input Context::In(size_t index, const char* name) const {
    const OrtValue* value = nullptr;
    if (index < InputCount()) {
        Check(api->KernelContext_GetInput(context_, index, &value));
    }
    if (value == nullptr) {
        Fail("input %zu (%s) is missing", index, name);
    }
    return Input(value, index, name);
}

void* Context::Out(size_t index, const Shape& shape) const {
    OrtValue* value;
    Check(api->KernelContext_GetOutput(context_, index, shape.data(), shape.size(), &value));
    void* data;
    Check(api->GetTensorMutableData(value, &data));
    return data;
}

void* Context::OptionalOut(size_t index, const Shape& shape) const {
    size_t count;
    Check(api->KernelContext_GetOutputCount(context_, &count));
    OrtValue* value = nullptr;
    if (index < count) {
        Check(api->KernelContext_GetOutput(context_, index, shape.data(), shape.size(), &value));
    }
    if (value == nullptr) {
        return nullptr;
    }
    void* data;
    Check(api->GetTensorMutableData(value, &data));
    return data;
}

void* Context::Scratch(size_t bytes) {
    if (bytes <= kInlineScratch) {
        return bytes == 0 ? nullptr : inline_scratch_;
    }
    OrtMemoryInfo* memory;
    Check(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
    OrtStatus* status = api->KernelContext_GetAllocator(context_, memory, &allocator_);
    api->ReleaseMemoryInfo(memory);
    Check(status);
    Check(api->AllocatorAlloc(allocator_, bytes + 63, &block_));
    return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(block_) + 63) & ~uintptr_t{63});
}

void Context::Run(void* self, size_t count, void (*task)(void*, size_t), void* argument) {
    Context* context = static_cast<Context*>(self);
    if (OrtStatus* status = api->KernelContext_ParallelFor(context->context_, task, count, 0, argument)) {
        context->thread_error_ = api->GetErrorMessage(status);
        api->ReleaseStatus(status);
    }
}

ParallelFor Context::Threads() { return {Run, this}; }

void Context::CheckThreads() const {
    if (!thread_error_.empty()) {
        Fail("ONNX Runtime's thread pool: %s", thread_error_.c_str());
    }
}

}  // namespace longcat::ops

// The C API of ONNX Runtime as the operators use it: attributes when a node is created, tensors and threads when it runs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "failure.h"
#include "longcat/cache.h"
#include "longcat/cpu_path.h"
#include "longcat/parallel.h"
#include "longcat/weights.h"
#include "onnxruntime_c_api.h"

namespace longcat::ops {

// The oldest version of the API that has all that is used (KernelContext_ParallelFor came with 1.17), so that every newer runtime loads us.
inline constexpr uint32_t kApiVersion = 17;

// Set once by RegisterCustomOps.
extern const OrtApi* api;

// Throws Failure with the status' message.
void Check(OrtStatus* status);

// The sizes of a tensor's axes; a call of a node makes many, so they take no memory of their own.
class Shape {
  public:
    static constexpr size_t kMostAxes = 8;
    Shape() = default;
    Shape(std::initializer_list<int64_t> sizes) {
        for (int64_t size : sizes) {
            push_back(size);
        }
    }
    size_t size() const { return count_; }
    bool empty() const { return count_ == 0; }
    const int64_t* data() const { return sizes_; }
    int64_t* Resize(size_t axes);  // a Failure above kMostAxes
    int64_t operator[](size_t axis) const { return sizes_[axis]; }
    int64_t back() const { return sizes_[count_ - 1]; }
    void push_back(int64_t size) { Resize(count_ + 1)[count_ - 1] = size; }
    void pop_back() { count_--; }
    void push_front(int64_t size) {
        push_back(size);
        std::rotate(sizes_, sizes_ + count_ - 1, sizes_ + count_);
    }
    const int64_t* begin() const { return sizes_; }
    const int64_t* end() const { return sizes_ + count_; }

  private:
    size_t count_ = 0;
    int64_t sizes_[kMostAxes];
};

std::string Text(const Shape& shape);

// How many elements.
int64_t Product(const Shape& shape);

// How a matrix [n, k] lies in panels: float32 [ceil(n / 16), k, 16], bfloat16 [ceil(n / 16), ceil(k / 2), 16, 2]; -1 for k leaves it open.
Shape PanelShape(WeightType type, int64_t n, int64_t k);

// A tensor input: where it lies, what it is called in messages, and its checks.
class Input {
  public:
    Input(const OrtValue* value, size_t index, const char* name);
    const Shape& shape() const { return shape_; }
    int64_t Dimension(size_t axis) const { return shape_[axis]; }
    const void* data() const { return data_; }

    const Input& HasRank(size_t rank) const;
    const Input& HasShape(const Shape& expected) const;  // -1 allows any size there
    const float* Floats() const;
    const int64_t* Longs() const;
    const int32_t* Ints() const;
    const int8_t* SignedBytes() const;
    const uint8_t* Bytes() const;
    bool IsFloats() const { return type_ == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; }
    bool IsSignedBytes() const { return type_ == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8; }
    bool IsBytes() const { return type_ == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8; }
    [[noreturn]] void RefuseType(const char* expected) const;
    Weights AsWeights() const;  // float32 or bfloat16
    CacheType AsCache() const;  // how a paged cache holds its numbers: float32, bfloat16 or, as uint8, integers with scales

  private:
    void Expect(ONNXTensorElementDataType type) const;
    size_t index_;
    const char* name_;
    ONNXTensorElementDataType type_;
    Shape shape_;
    const void* data_;
};

// What a node's attributes hold, and which of its inputs never change; a missing or mistyped attribute is a Failure that names it. With a default an attribute may be missing.
class Attributes {
  public:
    explicit Attributes(const OrtKernelInfo* info) : info_(info) {}
    int64_t Integer(const char* name) const;
    int64_t Integer(const char* name, int64_t otherwise) const;  // `otherwise` where the node has no such attribute
    int Positive(const char* name) const;                        // 1..2^31-1
    int Positive(const char* name, int otherwise) const;
    int64_t OneOf(const char* name, std::initializer_list<int64_t> allowed, int64_t otherwise) const;  // a Failure lists what is allowed
    WeightLayout Layout(const char* name) const;  // 0, 1; 0 where it is missing
    float Number(const char* name) const;
    float Number(const char* name, float otherwise) const;
    std::string String(const char* name) const;
    std::string String(const char* name, const char* otherwise) const;
    std::vector<int64_t> Integers(const char* name) const;
    std::string NodeName() const;

    // An input that is the same in every call of the node (an initializer that no graph input can replace); it lives as long as the node.
    std::optional<Input> Constant(size_t index, const char* name) const;

  private:
    const OrtKernelInfo* info_;
};
// One call of a node.
class Context {
  public:
    explicit Context(OrtKernelContext* context) : context_(context) {}
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
    ~Context();

    size_t InputCount() const;
    bool HasInput(size_t index) const;  // optional inputs may be absent
    Input In(size_t index, const char* name) const;
    void* Out(size_t index, const Shape& shape) const;
    void* OptionalOut(size_t index, const Shape& shape) const;  // null where the node has no such output

    // 64-byte aligned, until the context goes: the thread's stack where it is small, else from ONNX Runtime's arena. Once per call.
    void* Scratch(size_t bytes);

    // On ONNX Runtime's thread pool.
    ParallelFor Threads();
    void CheckThreads() const;  // a Failure if the pool refused

  private:
    static void Run(void* self, size_t count, void (*task)(void*, size_t), void* argument);
    // Enough for one row of 4096 floats: a decode step asks the arena for nothing.
    static constexpr size_t kInlineScratch = 20 * 1024;
    OrtKernelContext* context_;
    OrtAllocator* allocator_ = nullptr;
    void* block_ = nullptr;
    mutable size_t input_count_ = SIZE_MAX;
    std::string thread_error_;
    alignas(64) char inline_scratch_[kInlineScratch];
};

// LONGCAT_KERNEL or the best; a Failure for an unknown or unsupported one.
CpuPath SelectPath();

}  // namespace longcat::ops

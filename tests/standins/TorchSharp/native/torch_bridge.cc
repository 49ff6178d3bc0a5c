// A C ABI over libtorch, small because one function calls every operator.
//
// tb_call pushes its arguments on a stack and hands it to libtorch's dispatcher, which finds the kernel, records the
// gradient and checks the shapes. What is left is autograd, raw data, threads and random numbers.
//
// A tensor handle is a TensorImpl* that owns one reference; 0 is "no tensor". Arguments are borrowed, results are owned
// by the caller and freed with tb_free. No exception crosses the ABI: a function that can fail returns -1 (or 0 for a
// handle) and the text is in tb_error(), per thread.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <cstring>
#include <string>
#include <vector>

#define TB_API extern "C" __attribute__((visibility("default")))

namespace {

using at::Tensor;
using Handle = at::TensorImpl*;
using torch::autograd::variable_list;

thread_local std::string g_error;
thread_local std::vector<Tensor> g_overflow;  // results of the last tb_call that did not fit its buffer

// Runs body, keeps the message of whatever it throws, and answers with `failed` then.
template <typename R, typename F>
R guarded(R failed, F&& body) noexcept {
    try {
        return body();
    } catch (const c10::Error& e) {
        g_error = e.what_without_backtrace();
    } catch (const std::exception& e) {
        g_error = e.what();
    } catch (...) {
        g_error = "libtorch failed with an exception of unknown type";
    }
    return failed;
}

Tensor borrow(Handle h) {
    return h == nullptr ? Tensor() : Tensor(c10::intrusive_ptr<at::TensorImpl, at::UndefinedTensorImpl>::reclaim_copy(h));
}

Handle own(Tensor t) { return t.defined() ? t.unsafeReleaseTensorImpl() : nullptr; }

enum Tag : int32_t { kNone, kTensor, kDouble, kInt, kBool, kIntList, kTensorList, kOptionalTensorList, kString };

struct Arg {
    int32_t tag;
    int32_t count;  // elements of a list, bytes of a string
    union {
        int64_t i;
        double d;
        const void* p;
    };
};

c10::IValue to_ivalue(const Arg& a) {
    switch (a.tag) {
        case kNone: return c10::IValue();
        case kTensor: return c10::IValue(borrow((Handle)a.p));
        case kDouble: return c10::IValue(a.d);
        case kInt: return c10::IValue(a.i);
        case kBool: return c10::IValue(a.i != 0);
        case kIntList: return c10::IValue(at::IntArrayRef((const int64_t*)a.p, a.count));
        case kTensorList: {
            c10::List<Tensor> list;
            list.reserve(a.count);
            for (int i = 0; i < a.count; ++i) list.push_back(borrow(((const Handle*)a.p)[i]));
            return c10::IValue(std::move(list));
        }
        case kOptionalTensorList: {
            c10::List<c10::optional<Tensor>> list;
            list.reserve(a.count);
            for (int i = 0; i < a.count; ++i) {
                Handle h = ((const Handle*)a.p)[i];
                list.push_back(h == nullptr ? c10::optional<Tensor>() : c10::optional<Tensor>(borrow(h)));
            }
            return c10::IValue(std::move(list));
        }
        case kString: return c10::IValue(std::string((const char*)a.p, a.count));
        default: throw std::invalid_argument("unknown argument tag " + std::to_string(a.tag));
    }
}

variable_list borrow_all(const Handle* handles, int n) {
    variable_list list;
    list.reserve(n);
    for (int i = 0; i < n; ++i) list.push_back(borrow(handles[i]));
    return list;
}

// A node of the graph whose backward pass is a managed function.
using BackwardFn = int (*)(int64_t id, void* node, const Handle* grads, int n, Handle* out, int capacity);
using ReleaseFn = void (*)(int64_t id);
BackwardFn g_backward = nullptr;
ReleaseFn g_release = nullptr;

struct ManagedNode : torch::autograd::Node {
    ManagedNode(int64_t id, bool materialize) : id(id), materialize(materialize) {}
    ~ManagedNode() override { g_release(id); }

    variable_list apply(variable_list&& grads) override {
        std::vector<Handle> in;
        for (size_t i = 0; i < grads.size(); ++i) in.push_back(own(grads[i].defined() || !materialize ? grads[i] : input_metadata(i).zeros_like()));
        std::vector<Handle> out(num_outputs(), nullptr);
        if (g_backward(id, this, in.data(), (int)in.size(), out.data(), (int)out.size()) < 0) throw std::runtime_error(g_error);
        variable_list result;
        for (Handle h : out) result.push_back(h == nullptr ? Tensor() : Tensor(c10::intrusive_ptr<at::TensorImpl, at::UndefinedTensorImpl>::reclaim(h)));
        return result;
    }

    void release_variables() override { saved.clear(); }

    int64_t id;
    bool materialize;  // whether a gradient that is missing comes as zeros
    std::vector<torch::autograd::SavedVariable> saved;
};

}  // namespace

TB_API const char* tb_error() { return g_error.c_str(); }
TB_API void tb_set_error(const char* text) { g_error = text; }

// ---- operators

TB_API void* tb_find(const char* name, const char* overload) {
    return guarded((void*)nullptr, [&]() -> void* {
        auto op = c10::Dispatcher::singleton().findSchema({name, overload});
        if (!op.has_value()) throw std::invalid_argument(std::string("this libtorch has no operator ") + name + "." + overload);
        return new c10::OperatorHandle(*op);
    });
}

// Calls an operator. Arguments left out at the end take the schema's defaults. Gives the number of tensors that came out
// (more than capacity: fetch them all with tb_overflow). With capacity 0 the results are dropped (in-place operators).
TB_API int tb_call(void* op_handle, const Arg* args, int n, Handle* out, int capacity) {
    return guarded(-1, [&] {
        const auto& op = *(const c10::OperatorHandle*)op_handle;
        const auto& parameters = op.schema().arguments();
        torch::jit::Stack stack;
        stack.reserve(parameters.size());
        for (int i = 0; i < n; ++i) {
            stack.push_back(to_ivalue(args[i]));
            if (args[i].tag == kInt && i < (int)parameters.size() && parameters[i].type()->kind() == c10::TypeKind::FloatType) stack.back() = (double)args[i].i;
        }
        for (size_t i = n; i < parameters.size(); ++i) stack.push_back(parameters[i].default_value().value_or(c10::IValue()));
        op.callBoxed(&stack);
        if (capacity == 0) return 0;
        int count = 0;
        for (auto& value : stack) {
            if (value.isTensor()) {
                if (count < capacity) out[count] = own(std::move(value).toTensor());
                ++count;
            } else if (value.isTensorList()) {
                auto list = value.toTensorVector();
                count = (int)list.size();
                if (count > capacity) {
                    g_overflow = std::move(list);
                } else {
                    for (int i = 0; i < count; ++i) out[i] = own(std::move(list[i]));
                }
                break;
            }
        }
        return count;
    });
}

TB_API void tb_overflow(Handle* out) {
    for (auto& t : g_overflow) *out++ = own(std::move(t));
    g_overflow.clear();
}

// ---- lifetime, shape and data

TB_API void tb_free(Handle h) { c10::raw::intrusive_ptr::decref(h); }
TB_API void tb_retain(Handle h) { c10::raw::intrusive_ptr::incref(h); }

struct Info {
    int64_t dimensions, elements, element_size, storage_offset;
    const int64_t *sizes, *strides;
    void* data;
    int32_t dtype, contiguous, requires_grad, leaf;
};

TB_API int tb_info(Handle h, Info* info) {
    return guarded(-1, [&] {
        Tensor t = borrow(h);
        info->dimensions = t.dim();
        info->elements = t.numel();
        info->element_size = (int64_t)t.element_size();
        info->storage_offset = t.storage_offset();
        info->sizes = t.sizes().data();
        info->strides = t.strides().data();
        info->data = t.data_ptr();
        info->dtype = (int32_t)t.scalar_type();
        info->contiguous = t.is_contiguous();
        info->requires_grad = t.requires_grad();
        info->leaf = t.is_leaf();
        return 0;
    });
}

// A new tensor with a copy of the data (data 0: left uninitialised).
TB_API Handle tb_from_data(const void* data, const int64_t* sizes, int dimensions, int dtype) {
    return guarded((Handle) nullptr, [&] {
        Tensor t = at::empty(at::IntArrayRef(sizes, dimensions), at::TensorOptions().dtype((at::ScalarType)dtype));
        if (data != nullptr && t.numel() > 0) std::memcpy(t.data_ptr(), data, t.nbytes());
        return own(std::move(t));
    });
}

// ---- autograd

TB_API int tb_set_requires_grad(Handle h, int on) {
    return guarded(-1, [&] { borrow(h).set_requires_grad(on != 0); return 0; });
}
TB_API int tb_retain_grad(Handle h) {
    return guarded(-1, [&] { borrow(h).retain_grad(); return 0; });
}
TB_API Handle tb_grad(Handle h) {
    return guarded((Handle) nullptr, [&] { return own(borrow(h).grad()); });
}
TB_API int tb_set_grad(Handle h, Handle grad) {
    return guarded(-1, [&] { borrow(h).mutable_grad() = borrow(grad); return 0; });
}
TB_API int tb_backward(const Handle* roots, int n, const Handle* grads, int n_grads, int retain_graph, int create_graph, const Handle* inputs, int n_inputs) {
    return guarded(-1, [&] {
        torch::autograd::backward(borrow_all(roots, n), borrow_all(grads, n_grads), retain_graph != 0, create_graph != 0, borrow_all(inputs, n_inputs));
        return 0;
    });
}
TB_API int tb_gradients(const Handle* roots, int n, const Handle* inputs, int n_inputs, const Handle* grads, int n_grads, int retain_graph, int create_graph, int allow_unused, Handle* out) {
    return guarded(-1, [&] {
        auto result = torch::autograd::grad(borrow_all(roots, n), borrow_all(inputs, n_inputs), borrow_all(grads, n_grads), retain_graph != 0, create_graph != 0, allow_unused != 0);
        for (auto& t : result) *out++ = own(std::move(t));
        return 0;
    });
}
TB_API int tb_grad_mode() { return c10::GradMode::is_enabled(); }
TB_API void tb_set_grad_mode(int on) { c10::GradMode::set_enabled(on != 0); }
TB_API int tb_inference_mode() { return c10::InferenceMode::is_enabled(); }
TB_API void* tb_inference_enter(int on) {
    return guarded((void*)nullptr, [&]() -> void* { return new c10::InferenceMode(on != 0); });
}
TB_API void tb_inference_leave(void* guard) { delete (c10::InferenceMode*)guard; }

TB_API void tb_node_callbacks(BackwardFn backward, ReleaseFn release) {
    g_backward = backward;
    g_release = release;
}
// A node fed by the inputs. The handle is freed with tb_node_free; the graph keeps the node alive as long as it needs it.
TB_API void* tb_node_new(int64_t id, const Handle* inputs, int n, int materialize) {
    return guarded((void*)nullptr, [&]() -> void* {
        std::shared_ptr<ManagedNode> node(new ManagedNode(id, materialize != 0), torch::autograd::deleteNode);
        node->set_next_edges(torch::autograd::collect_next_edges(borrow_all(inputs, n)));
        return new std::shared_ptr<ManagedNode>(std::move(node));
    });
}
TB_API void tb_node_free(void* node) { delete (std::shared_ptr<ManagedNode>*)node; }
TB_API int tb_node_output(void* node, Handle output) {
    return guarded(-1, [&] {
        Tensor t = borrow(output);
        torch::autograd::set_history(t, *(std::shared_ptr<ManagedNode>*)node);
        return 0;
    });
}
TB_API int tb_node_save(void* handle, const Handle* tensors, int n) {
    return guarded(-1, [&] {
        auto& node = *(std::shared_ptr<ManagedNode>*)handle;
        for (auto& t : borrow_all(tensors, n)) node->saved.emplace_back(t, t.defined() && t.grad_fn() == node);
        return 0;
    });
}
// What tb_node_save kept, for the node that the backward callback was given. Gives the count; out 0 asks for it alone.
TB_API int tb_node_saved(void* raw, Handle* out) {
    return guarded(-1, [&] {
        auto* node = (ManagedNode*)raw;
        if (out != nullptr) {
            for (auto& saved : node->saved) *out++ = own(saved.unpack(node->shared_from_this()));
        }
        return (int)node->saved.size();
    });
}

// ---- random numbers and threads

TB_API int tb_manual_seed(uint64_t seed) {
    return guarded(-1, [&] { at::manual_seed(seed); return 0; });
}
TB_API Handle tb_random_state() {
    return guarded((Handle) nullptr, [&] { return own(at::globalContext().defaultGenerator(at::kCPU).get_state()); });
}
TB_API int tb_set_random_state(Handle state) {
    return guarded(-1, [&] {
        auto generator = at::globalContext().defaultGenerator(at::kCPU);
        std::lock_guard<std::mutex> lock(generator.mutex());
        generator.set_state(borrow(state));
        return 0;
    });
}
TB_API int tb_threads() { return at::get_num_threads(); }
TB_API int tb_set_threads(int n) {
    return guarded(-1, [&] { at::set_num_threads(n); return 0; });
}

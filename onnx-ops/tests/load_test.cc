// Loads ONNX Runtime and the operator library as a process would, and runs one operator of it: what a cross-built library must show on
// its own system (under wine or qemu where that is another one). The operators' results are tested by tests/LongCat.ML.Native.Tests.
//   load_test RUNTIME_LIBRARY OPERATOR_LIBRARY
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "onnxruntime_c_api.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace {

using Path = std::basic_string<ORTCHAR_T>;

#if defined(_WIN32)
Path Native(const char* path) {
    Path wide(static_cast<size_t>(MultiByteToWideChar(CP_UTF8, 0, path, -1, nullptr, 0)), L'\0');
    MultiByteToWideChar(CP_UTF8, 0, path, -1, wide.data(), static_cast<int>(wide.size()));
    wide.pop_back();  // the length counts the terminating zero
    return wide;
}
void* Open(const char* path) { return LoadLibraryW(Native(path).c_str()); }
void* Symbol(void* library, const char* name) { return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), name)); }
#else
Path Native(const char* path) { return path; }
void* Open(const char* path) { return dlopen(path, RTLD_NOW | RTLD_LOCAL); }
void* Symbol(void* library, const char* name) { return dlsym(library, name); }
#endif

const OrtApi* api;
int failures = 0;

void Expect(bool condition, const std::string& what) {
    std::printf("%s: %s\n", condition ? "ok" : "FAILED", what.c_str());
    failures += condition ? 0 : 1;
}

// The status' message, empty when all went well.
std::string Message(OrtStatus* status) {
    std::string message = status == nullptr ? "" : api->GetErrorMessage(status);
    if (status != nullptr) {
        api->ReleaseStatus(status);
    }
    return message;
}

// ---- protobuf, as much of it as a model of one node takes

std::string Varint(uint64_t value) {
    std::string bytes;
    for (; value >= 0x80; value >>= 7) {
        bytes += static_cast<char>(value | 0x80);
    }
    return bytes + static_cast<char>(value);
}
std::string Number(int field, uint64_t value) { return Varint(static_cast<uint64_t>(field) << 3) + Varint(value); }
std::string Bytes(int field, const std::string& value) {
    return Varint(static_cast<uint64_t>(field) << 3 | 2) + Varint(value.size()) + value;
}

std::string FloatMatrix(const char* name) {
    std::string dimensions = Bytes(1, Bytes(2, "rows")) + Bytes(1, Bytes(2, std::string(name) + "_columns"));
    return Bytes(1, name) + Bytes(2, Bytes(1, Number(1, 1) + Bytes(2, dimensions)));
}

// Y = longcat.MatMul(A, B)
std::string Model() {
    std::string node = Bytes(1, "A") + Bytes(1, "B") + Bytes(2, "Y") + Bytes(3, "product") + Bytes(4, "MatMul") + Bytes(7, "longcat");
    std::string graph =
        Bytes(1, node) + Bytes(2, "graph") + Bytes(11, FloatMatrix("A")) + Bytes(11, FloatMatrix("B")) + Bytes(12, Bytes(1, "Y"));
    auto opset = [](const char* domain, uint64_t version) { return Bytes(8, Bytes(1, domain) + Number(2, version)); };
    return Number(1, 10) + Bytes(7, graph) + opset("", 21) + opset("longcat", 1);
}

std::string Run(OrtSession* session, std::vector<float>& a, std::vector<int64_t> a_shape, std::vector<float>& b, std::vector<int64_t> b_shape,
                std::vector<float>* y) {
    OrtMemoryInfo* memory;
    std::string failed = Message(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
    OrtValue* values[2] = {};
    std::vector<float>* data[] = {&a, &b};
    std::vector<int64_t>* shapes[] = {&a_shape, &b_shape};
    for (int i = 0; i < 2 && failed.empty(); i++) {
        failed = Message(api->CreateTensorWithDataAsOrtValue(memory, data[i]->data(), data[i]->size() * sizeof(float), shapes[i]->data(),
                                                             shapes[i]->size(), ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &values[i]));
    }
    const char* inputs[] = {"A", "B"};
    const char* outputs[] = {"Y"};
    OrtValue* output = nullptr;
    if (failed.empty()) {
        failed = Message(api->Run(session, nullptr, inputs, values, 2, outputs, 1, &output));
    }
    if (failed.empty()) {
        void* result;
        failed = Message(api->GetTensorMutableData(output, &result));
        std::memcpy(y->data(), result, y->size() * sizeof(float));
        api->ReleaseValue(output);
    }
    for (OrtValue* value : values) {
        if (value != nullptr) {
            api->ReleaseValue(value);
        }
    }
    api->ReleaseMemoryInfo(memory);
    return failed;
}

void Session(const char* operators) {
    OrtEnv* env;
    OrtSessionOptions* options;
    OrtSession* session = nullptr;
    Expect(Message(api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "load_test", &env)).empty(), "environment");
    Expect(Message(api->CreateSessionOptions(&options)).empty() && Message(api->SetIntraOpNumThreads(options, 2)).empty(), "options");
    std::string failed = Message(api->RegisterCustomOpsLibrary_V2(options, Native(operators).c_str()));
    Expect(failed.empty(), "the runtime registers the operators " + failed);
    std::string model = Model();
    failed = Message(api->CreateSessionFromArray(env, model.data(), model.size(), options, &session));
    Expect(failed.empty(), "session " + failed);
    if (session != nullptr) {
        // Large enough for several threads of the runtime's pool.
        constexpr int64_t kRows = 37, kColumns = 131, kDepth = 259;
        std::vector<float> a(kRows * kDepth), b(kColumns * kDepth), y(kRows * kColumns);
        for (size_t i = 0; i < a.size(); i++) {
            a[i] = static_cast<float>(i % 13) - 6;
        }
        for (size_t i = 0; i < b.size(); i++) {
            b[i] = static_cast<float>(i % 7) - 3;
        }
        failed = Run(session, a, {kRows, kDepth}, b, {kColumns, kDepth}, &y);
        bool equal = failed.empty();
        for (int64_t i = 0; equal && i < kRows; i++) {
            for (int64_t j = 0; equal && j < kColumns; j++) {
                float sum = 0;  // small integers: exact in any order
                for (int64_t k = 0; k < kDepth; k++) {
                    sum += a[static_cast<size_t>(i * kDepth + k)] * b[static_cast<size_t>(j * kDepth + k)];
                }
                equal = y[static_cast<size_t>(i * kColumns + j)] == sum;
            }
        }
        Expect(equal, "MatMul gives the exact products " + failed);
        failed = Run(session, a, {kRows, kDepth}, b, {kDepth, kColumns}, &y);
        Expect(failed.find("longcat::MatMul 'product': input 0 (A) has shape [37, 259], expected its last dimension to be 131") !=
                   std::string::npos,
               "a wrong shape comes back as a status: " + failed);
        api->ReleaseSession(session);
    }
    api->ReleaseSessionOptions(options);
    api->ReleaseEnv(env);
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 3) {
        std::printf("usage: load_test RUNTIME_LIBRARY OPERATOR_LIBRARY\n");
        return 2;
    }
    std::setvbuf(stdout, nullptr, _IONBF, 0);  // what was reached is known even after a crash
    void* operators = Open(arguments[2]);
    Expect(operators != nullptr, std::string("loads ") + arguments[2]);
    if (operators == nullptr) {
        return 1;
    }
    using Version = const char* (*)();
    Version version = reinterpret_cast<Version>(Symbol(operators, "longcat_version"));
    Expect(version != nullptr && std::strcmp(version(), LONGCAT_VERSION) == 0, "longcat_version() is " LONGCAT_VERSION);
    Expect(Symbol(operators, "RegisterCustomOps") != nullptr, "exports RegisterCustomOps");

    void* runtime = Open(arguments[1]);
    Expect(runtime != nullptr, std::string("loads ") + arguments[1]);
    using Base = const OrtApiBase* (*)();
    Base base = runtime == nullptr ? nullptr : reinterpret_cast<Base>(Symbol(runtime, "OrtGetApiBase"));
    api = base == nullptr ? nullptr : base()->GetApi(17);
    Expect(api != nullptr, std::string("ONNX Runtime ") + (base == nullptr ? "" : base()->GetVersionString()));
    if (api != nullptr) {
        Session(arguments[2]);
    }
    std::printf(failures == 0 ? "OK\n" : "%d FAILED\n", failures);
    return failures == 0 ? 0 : 1;
}

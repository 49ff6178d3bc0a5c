using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace LongCat.ML.Benchmarks.LlamaCpp;

/// <summary>The C interface of libllama and libggml, as far as a measurement needs it, of the version that <see cref="LlamaCppPackage"/> names.</summary>
internal sealed unsafe class LlamaCppLibrary
{
    private const int CpuDevice = 0;

    public readonly delegate* unmanaged<byte*, ModelParameters, nint> LoadModel;
    public readonly delegate* unmanaged<nint, void> FreeModel;
    public readonly delegate* unmanaged<nint, ContextParameters, nint> NewContext;
    public readonly delegate* unmanaged<nint, void> FreeContext;
    public readonly delegate* unmanaged<nint, nint> Memory;
    public readonly delegate* unmanaged<nint, byte, void> ClearMemory;
    public readonly delegate* unmanaged<nint, int, int, int, int, void> CopySequence;
    public readonly delegate* unmanaged<nint, int, int, int, byte> RemoveSequence;
    public readonly delegate* unmanaged<nint, Batch, int> Decode;
    public readonly delegate* unmanaged<nint, int, float*> Logits;
    public readonly delegate* unmanaged<nint, nint, nint, void> AttachThreads;
    public readonly delegate* unmanaged<nint, int, int, void> SetThreads;
    public readonly delegate* unmanaged<ThreadPoolParameters*, int, void> DefaultThreads;
    public readonly delegate* unmanaged<ThreadPoolParameters*, nint> NewThreads;
    public readonly delegate* unmanaged<nint, void> FreeThreads;
    public readonly delegate* unmanaged<nint, void> PauseThreads;
    public readonly delegate* unmanaged<nint, void> ResumeThreads;
    public readonly ModelParameters DefaultModel;
    public readonly ContextParameters DefaultContext;
    public readonly string Version;

    private LlamaCppLibrary(string folder)
    {
        nint ggmlBase = NativeLibrary.Load(Path.Combine(folder, "libggml-base.so"));
        nint ggml = NativeLibrary.Load(Directory.GetFiles(folder, "libggml.*so*")[0]);
        nint llama = NativeLibrary.Load(Directory.GetFiles(folder, "libllama.*so*")[0]);
        ((delegate* unmanaged<delegate* unmanaged<int, byte*, void*, void>, void*, void>)Get(llama, "llama_log_set"))(&Ignore, null);

        // The library for this processor (one of fourteen) is chosen by ggml itself.
        fixed (byte* path = Encoding.UTF8.GetBytes(folder + "\0"))
        {
            ((delegate* unmanaged<byte*, void>)Get(ggml, "ggml_backend_load_all_from_path"))(path);
        }

        ((delegate* unmanaged<void>)Get(llama, "llama_backend_init"))();
        nint device = ((delegate* unmanaged<int, nint>)Get(ggml, "ggml_backend_dev_by_type"))(CpuDevice);
        if (device == 0)
        {
            throw new InvalidOperationException("none of its libraries for the CPU runs on this processor");
        }

        nint registry = ((delegate* unmanaged<nint, nint>)Get(ggmlBase, "ggml_backend_dev_backend_reg"))(device);
        var address = (delegate* unmanaged<nint, byte*, nint>)Get(ggmlBase, "ggml_backend_reg_get_proc_address");
        NewThreads = (delegate* unmanaged<ThreadPoolParameters*, nint>)Of("ggml_threadpool_new");
        FreeThreads = (delegate* unmanaged<nint, void>)Of("ggml_threadpool_free");

        // Not among the addresses that the registry hands out: they are exported by the library that it has loaded.
        nint cpu = NativeLibrary.Load(Loaded(folder));
        PauseThreads = (delegate* unmanaged<nint, void>)Get(cpu, "ggml_threadpool_pause");
        ResumeThreads = (delegate* unmanaged<nint, void>)Get(cpu, "ggml_threadpool_resume");
        DefaultThreads = (delegate* unmanaged<ThreadPoolParameters*, int, void>)Get(ggmlBase, "ggml_threadpool_params_init");
        LoadModel = (delegate* unmanaged<byte*, ModelParameters, nint>)Get(llama, "llama_model_load_from_file");
        FreeModel = (delegate* unmanaged<nint, void>)Get(llama, "llama_model_free");
        NewContext = (delegate* unmanaged<nint, ContextParameters, nint>)Get(llama, "llama_init_from_model");
        FreeContext = (delegate* unmanaged<nint, void>)Get(llama, "llama_free");
        Memory = (delegate* unmanaged<nint, nint>)Get(llama, "llama_get_memory");
        ClearMemory = (delegate* unmanaged<nint, byte, void>)Get(llama, "llama_memory_clear");
        CopySequence = (delegate* unmanaged<nint, int, int, int, int, void>)Get(llama, "llama_memory_seq_cp");
        RemoveSequence = (delegate* unmanaged<nint, int, int, int, byte>)Get(llama, "llama_memory_seq_rm");
        Decode = (delegate* unmanaged<nint, Batch, int>)Get(llama, "llama_decode");
        Logits = (delegate* unmanaged<nint, int, float*>)Get(llama, "llama_get_logits_ith");
        AttachThreads = (delegate* unmanaged<nint, nint, nint, void>)Get(llama, "llama_attach_threadpool");
        SetThreads = (delegate* unmanaged<nint, int, int, void>)Get(llama, "llama_set_n_threads");
        DefaultModel = ((delegate* unmanaged<ModelParameters>)Get(llama, "llama_model_default_params"))();
        DefaultContext = ((delegate* unmanaged<ContextParameters>)Get(llama, "llama_context_default_params"))();
        string version = Marshal.PtrToStringUTF8(((delegate* unmanaged<nint>)Get(llama, "llama_version"))()) ?? "";
        string ggmlVersion = Marshal.PtrToStringUTF8(((delegate* unmanaged<nint>)Get(ggmlBase, "ggml_version"))()) ?? "";
        Version = $"llama.cpp {version}, ggml {ggmlVersion}, {Path.GetFileNameWithoutExtension(Loaded(folder))}";
        CheckDefaults();

        nint Of(string name)
        {
            fixed (byte* text = Encoding.UTF8.GetBytes(name + "\0"))
            {
                nint found = address(registry, text);
                return found != 0 ? found : throw new InvalidOperationException($"its CPU library has no {name}");
            }
        }

        static nint Get(nint library, string name) => NativeLibrary.GetExport(library, name);
    }

    /// <returns>Why there is none, or null.</returns>
    public static string? TryLoad(out LlamaCppLibrary? library)
    {
        library = null;
        if (LlamaCppPackage.Find(out string folder) is { } reason)
        {
            return reason;
        }

        try
        {
            library = new LlamaCppLibrary(folder);
            return null;
        }
        catch (Exception error) when (error is DllNotFoundException or EntryPointNotFoundException or InvalidOperationException or IndexOutOfRangeException or IOException)
        {
            return error.Message;
        }
    }

    [UnmanagedCallersOnly]
    private static void Ignore(int level, byte* text, void* state)
    {
    }

    private static string Loaded(string folder) =>
        File.ReadLines("/proc/self/maps").Select(line => line[(line.LastIndexOf(' ') + 1)..]).FirstOrDefault(path => path.StartsWith(Path.Combine(folder, "libggml-cpu-"), StringComparison.Ordinal))
        ?? throw new InvalidOperationException("ggml has loaded none of its libraries for the CPU");

    /// <summary>Structures of another version would hold other values at these places.</summary>
    private void CheckDefaults()
    {
        ContextParameters context = DefaultContext;
        if (DefaultModel is not { GpuLayers: -1, SplitMode: 1, LoadMode: -1, UseExtraBuffers: 1, VocabularyOnly: 0 }
            || context is not { BatchTokens: 2048, MicroBatchTokens: 512, Sequences: 1, FlashAttention: -1, KeyType: 1, ValueType: 1, OffloadCache: 1, Embeddings: 0 })
        {
            throw new InvalidOperationException($"{Version}: its parameters have another layout than the one known here");
        }
    }

    /// <summary>struct llama_model_params.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct ModelParameters
    {
        public nint Devices, BufferOverrides;
        public int GpuLayers, SplitMode, LoadMode, LazyMode, MainGpu;
        public nint TensorSplit, Progress, ProgressState, Overrides;
        public byte VocabularyOnly, CheckTensors, UseExtraBuffers, NoHost, NoAllocation, LoadDraft;
    }

    /// <summary>struct llama_context_params.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct ContextParameters
    {
        public uint ContextTokens, BatchTokens, MicroBatchTokens, Sequences, StateSnapshots, Outputs, OutputsPerSequence;
        public int Threads, BatchThreads, ContextType, RopeScaling, Pooling, Attention, FlashAttention;
        public float RopeBase, RopeScale, YarnExtension, YarnAttention, YarnFast, YarnSlow;
        public uint YarnContext;
        public float Defragment;
        public nint Callback, CallbackState;
        public int KeyType, ValueType;
        public nint Abort, AbortState;
        public byte Embeddings, OffloadCache, NoTimings, OffloadOperations, FullWindow, UnifiedCache;
        public nint Samplers, SamplerCount, OtherContext;
    }

    /// <summary>struct llama_batch.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Batch
    {
        public int Count;
        public int* Tokens;
        public float* Embeddings;
        public int* Positions, SequenceCounts;
        public int** Sequences;
        public sbyte* WantLogits;
    }

    /// <summary>struct ggml_threadpool_params.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct ThreadPoolParameters
    {
        public Mask Processors;
        public int Threads, Priority;
        public uint Poll;
        public byte Strict, Paused;
    }

    /// <summary>One byte for each processor.</summary>
    [InlineArray(512)]
    public struct Mask
    {
        private byte first;
    }
}

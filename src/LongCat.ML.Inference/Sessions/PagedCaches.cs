using LongCat.ML.Checkpoints;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace LongCat.ML.Inference.Sessions;

/// <summary>The pools of cache pages of a graph with the longcat operators, bound as input and output of the same memory: the operators then write them in place.</summary>
internal sealed unsafe class PagedCaches : IDisposable
{
    private readonly List<NativeBuffer> _buffers = [];
    private readonly List<OrtValue> _values = [];

    public PagedCaches(ModelManifest manifest, int pages, int pageSize)
    {
        TensorElementType type = manifest.CacheType == CacheType.BFloat16 ? TensorElementType.BFloat16 : TensorElementType.Float;
        int elementBytes = type == TensorElementType.BFloat16 ? 2 : 4;
        foreach (CacheLayout layout in manifest.Caches)
        {
            NativeBuffer cache = new((long)pages * pageSize * layout.Width * elementBytes);
            _buffers.Add(cache);
            _values.Add(OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, type, [pages, pageSize, layout.Width], cache.Pointer, cache.Bytes));
        }
    }

    /// <summary>Where cache i lies.</summary>
    public nint Pointer(int cache) => _buffers[cache].Pointer;

    /// <summary>Everything in float32 cache i, [pages, page, width].</summary>
    public ReadOnlySpan<float> Values(int cache) => new((void*)_buffers[cache].Pointer, (int)(_buffers[cache].Bytes / sizeof(float)));

    public void Bind(OrtIoBinding binding)
    {
        for (int i = 0; i < _values.Count; i++)
        {
            binding.BindInput($"cache.{i}", _values[i]);
            binding.BindOutput($"cache_out.{i}", _values[i]);
        }
    }

    /// <summary>After the session is closed.</summary>
    public void Dispose()
    {
        _values.ForEach(value => value.Dispose());
        _buffers.ForEach(buffer => buffer.Dispose());
    }
}

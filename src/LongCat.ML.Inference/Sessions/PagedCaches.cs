using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Paging;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace LongCat.ML.Inference.Sessions;

/// <summary>The caches' pages of a graph with the longcat operators, bound as input and output of the same memory: the operators then write them in place.</summary>
internal sealed unsafe class PagedCaches : IDisposable
{
    private readonly List<NativeBuffer> _buffers = [];
    private readonly List<OrtValue> _values = [];

    /// <param name="manifest">Says which caches there are.</param>
    /// <param name="pages">Pages of each cache of a full attention.</param>
    /// <param name="streamingPages">Pages of each cache of a streaming attention.</param>
    /// <param name="pageSize">Tokens of a page.</param>
    public PagedCaches(ModelManifest manifest, int pages, int streamingPages, int pageSize)
    {
        TensorElementType type = manifest.CacheType switch
        {
            CacheType.BFloat16 => TensorElementType.BFloat16,
            CacheType.Int8 => TensorElementType.UInt8,
            _ => TensorElementType.Float,
        };
        for (int i = 0; i < manifest.Caches.Count; i++)
        {
            CacheLayout layout = manifest.Caches[i];
            int count = StreamingPattern.IsStreaming(manifest, i) ? streamingPages : pages;
            NativeBuffer cache = new((long)count * pageSize * layout.Width * manifest.CacheType.ElementSize());
            _buffers.Add(cache);
            _values.Add(OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, type, [count, pageSize, layout.Width], cache.Pointer, cache.Bytes));
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

using LongCat.ML.Checkpoints;
using LongCat.ML.Native;
using LongCat.ML.Onnx.Adapters;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Onnx.Tests;

/// <summary>A sequence in the caches of a <see cref="GraphRunner"/>.</summary>
internal sealed class RunnerSequence
{
    public List<long> Tokens { get; } = [];

    public List<int> Pages { get; } = [];

    /// <summary>Pages of streaming attentions; -1 where no later token sees any token of the page.</summary>
    public List<int> StreamingPages { get; } = [];

    /// <summary>Tokens in the cache. The draft head has no tokens of its own, so it is counted apart.</summary>
    public int Length { get; set; }
}

/// <summary>The new tokens of one sequence in a step; draft steps also carry the main model's hidden state of each.</summary>
internal sealed record RunnerChunk(RunnerSequence Sequence, long[] Tokens, float[]? Hidden = null)
{
    /// <summary>The adapter of its tokens, counted from 0; -1 for none.</summary>
    public int Adapter { get; init; } = -1;

    /// <summary>Whether its tokens are sparse rows.</summary>
    public bool Sparse { get; init; }
}

/// <summary>What a step gives: logits of the rows asked for, and the hidden state of every new token, in order.</summary>
internal sealed record RunnerResult(float[] Logits, float[] Hidden);

/// <summary>
/// Runs an exported graph with a plain InferenceSession and nothing of the engine: packs the step's inputs, hands out cache pages in a scattered
/// order, and binds each cache as input and as output.
/// </summary>
internal sealed partial class GraphRunner : IDisposable
{
    private const int PageSize = 4;
    private const int PageCount = 96;
    private const int StreamingPageCount = 50;

    private readonly ModelManifest _manifest;
    private readonly InferenceSession _session;
    private readonly bool _draft;
    private readonly bool _inPlace;
    private readonly AdapterStack? _adapters;
    private readonly Stack<int> _freePages;
    private readonly Stack<int> _freeStreamingPages;
    private readonly IReadOnlyList<CacheLayout> _layouts;
    private readonly Array[] _caches;

    /// <param name="folder">An export.</param>
    /// <param name="kernel">The kernel path to force.</param>
    /// <param name="graph">model.onnx or draft.onnx.</param>
    /// <param name="inPlace">Whether a cache's output is its input's buffer, as the engine binds it; otherwise the output is another buffer.</param>
    /// <param name="adapters">Adapters that the graph is given inputs for, or null for the graph as it is.</param>
    public GraphRunner(string folder, string kernel, string graph = ModelManifest.ModelFileName, bool inPlace = true, AdapterStack? adapters = null)
    {
        _manifest = ModelManifest.Read(folder);
        _draft = graph == ModelManifest.DraftFileName;
        _inPlace = inPlace;
        _layouts = _draft ? _manifest.DraftCaches! : _manifest.Caches;
        _caches = [.. _layouts.Select(NewCache)];
        _means = NewMeans();
        _freePages = Shuffled(PageCount);
        _freeStreamingPages = Shuffled(StreamingPageCount);
        using KernelPath path = new(kernel);
        using SessionOptions options = new();
        options.RegisterCustomOpLibraryV2(NativeLibraryLocator.Find(), out _);
        options.IntraOpNumThreads = 2;
        _adapters = adapters;
        if (adapters is null)
        {
            _session = new InferenceSession(Path.Combine(folder, graph), options);
        }
        else
        {
            options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", folder);
            _session = new InferenceSession(AdapterGraph.Read(Path.Combine(folder, graph)).Insert(adapters.Sites), options);
        }
    }

    public int VocabSize => _manifest.VocabSize;

    public int HiddenSize => _manifest.HiddenSize;

    /// <summary>An adapter of ONNX Runtime's that every run is given, or null.</summary>
    public OrtLoraAdapter? Lora { get; init; }

    public void Dispose() => _session.Dispose();

    /// <summary>One step with the logits of every row.</summary>
    public RunnerResult Run(params IReadOnlyList<RunnerChunk> chunks) =>
        RunFor([.. Enumerable.Range(0, chunks.Sum(chunk => chunk.Tokens.Length)).Select(i => (long)i)], chunks);

    /// <summary>One step with the logits of the rows asked for.</summary>
    public RunnerResult RunFor(long[] logitsIndex, params IReadOnlyList<RunnerChunk> chunks)
    {
        int tokens = chunks.Sum(chunk => chunk.Tokens.Length);
        float[] logits = new float[logitsIndex.Length * VocabSize];
        float[] hidden = new float[tokens * HiddenSize];
        Array[] cacheOutputs = _inPlace ? _caches : [.. _layouts.Select(NewCache)];
        List<(string Name, OrtValue Value)> inputs = [.. Inputs(chunks, tokens)];
        inputs.Add(("logits_index", OrtValue.CreateTensorValueFromMemory(logitsIndex, [logitsIndex.Length])));
        List<(string Name, OrtValue Value)> outputs =
        [
            ("logits", OrtValue.CreateTensorValueFromMemory(logits, [logitsIndex.Length, VocabSize])),
            (_draft ? "hidden_out" : "hidden", OrtValue.CreateTensorValueFromMemory(hidden, [tokens, HiddenSize])),
        ];
        for (int i = 0; i < _caches.Length; i++)
        {
            inputs.Add(($"cache.{i}", CacheValue(_caches[i], i)));
            outputs.Add(($"cache_out.{i}", CacheValue(cacheOutputs[i], i)));
        }

        AddSparse(chunks, inputs, outputs);
        try
        {
            using RunOptions options = new();
            if (Lora is not null)
            {
                options.AddActiveLoraAdapter(Lora);
            }

            _session.Run(options, [.. inputs.Select(x => x.Name)], [.. inputs.Select(x => x.Value)], [.. outputs.Select(x => x.Name)], [.. outputs.Select(x => x.Value)]);
        }
        finally
        {
            inputs.ForEach(x => x.Value.Dispose());
            outputs.ForEach(x => x.Value.Dispose());
        }

        cacheOutputs.CopyTo(_caches, 0);
        return new RunnerResult(logits, hidden);
    }

    /// <summary>One step of one new sequence, and whatever outputs of the graph are named: logits of every row, probes. The caches are left alone.</summary>
    public Dictionary<string, float[]> Read(IEnumerable<string> outputs, RunnerChunk chunk)
    {
        List<(string Name, OrtValue Value)> inputs = [.. Inputs([chunk], chunk.Tokens.Length)];
        inputs.Add(("logits_index", OrtValue.CreateTensorValueFromMemory(Enumerable.Range(0, chunk.Tokens.Length).Select(i => (long)i).ToArray(), [chunk.Tokens.Length])));
        inputs.AddRange(_caches.Select((cache, i) => ($"cache.{i}", CacheValue(cache, i))));
        string[] names = [.. outputs];
        try
        {
            using RunOptions options = new();
            using IDisposableReadOnlyCollection<OrtValue> values = _session.Run(options, [.. inputs.Select(x => x.Name)], [.. inputs.Select(x => x.Value)], names);
            return names.Zip(values).ToDictionary(
                pair => pair.First,
                pair => pair.Second.GetTensorTypeAndShape().ElementDataType == Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Int32
                    ? [.. pair.Second.GetTensorDataAsSpan<int>().ToArray().Select(value => (float)value)]
                    : pair.Second.GetTensorDataAsSpan<float>().ToArray());
        }
        finally
        {
            inputs.ForEach(x => x.Value.Dispose());
        }
    }

    private IEnumerable<(string Name, OrtValue Value)> Inputs(IReadOnlyList<RunnerChunk> chunks, int tokens)
    {
        int before = Math.Max(0, _manifest.NgramNeighbors - 1);
        List<long> ids = [];
        List<long> positions = [];
        List<int> queryStart = [0];
        List<int> contextLength = [];
        List<long> ngramContext = [];
        foreach ((RunnerSequence sequence, long[] added, _) in chunks)
        {
            for (int back = before; back >= 1; back--)
            {
                ngramContext.Add(sequence.Length - back >= 0 ? sequence.Tokens[sequence.Length - back] : -1);
            }

            if (Streams)
            {
                TakeStreamingPages(sequence, added.Length);
            }

            positions.AddRange(Enumerable.Range(sequence.Length, added.Length).Select(p => (long)p));
            ids.AddRange(added);
            sequence.Tokens.AddRange(added);
            sequence.Length += added.Length;
            queryStart.Add(ids.Count);
            contextLength.Add(sequence.Length);
            while (sequence.Pages.Count * PageSize < sequence.Length)
            {
                sequence.Pages.Add(_freePages.Pop());
            }
        }

        int width = chunks.Max(chunk => chunk.Sequence.Pages.Count);
        int[] table = [.. chunks.SelectMany(chunk => chunk.Sequence.Pages.Concat(Enumerable.Repeat(-1, width - chunk.Sequence.Pages.Count)))];
        yield return ("input_ids", OrtValue.CreateTensorValueFromMemory(ids.ToArray(), [tokens]));
        yield return ("position_ids", OrtValue.CreateTensorValueFromMemory(positions.ToArray(), [tokens]));
        yield return ("query_start", OrtValue.CreateTensorValueFromMemory(queryStart.ToArray(), [queryStart.Count]));
        yield return ("context_length", OrtValue.CreateTensorValueFromMemory(contextLength.ToArray(), [chunks.Count]));
        yield return ("block_table", OrtValue.CreateTensorValueFromMemory(table, [chunks.Count, width]));
        if (Streams)
        {
            int[] streaming = [.. chunks.SelectMany(chunk => chunk.Sequence.StreamingPages.Concat(Enumerable.Repeat(-1, width - chunk.Sequence.StreamingPages.Count)))];
            yield return ("streaming_block_table", OrtValue.CreateTensorValueFromMemory(streaming, [chunks.Count, width]));
        }

        if (_adapters is not null)
        {
            int[] rows = [.. chunks.SelectMany(chunk => Enumerable.Repeat(chunk.Adapter, chunk.Tokens.Length))];
            foreach ((string name, OrtValue value) in _adapters.Inputs(rows).Where(input => _session.InputNames.Contains(input.Name)))
            {
                yield return (name, value);
            }
        }

        if (_draft)
        {
            yield return ("hidden", OrtValue.CreateTensorValueFromMemory(chunks.SelectMany(chunk => chunk.Hidden!).ToArray(), [tokens, HiddenSize]));
        }
        else if (before > 0)
        {
            yield return ("ngram_context", OrtValue.CreateTensorValueFromMemory(ngramContext.ToArray(), [chunks.Count, before]));
        }
    }

    private bool Streams => !_draft && _manifest.Streaming is not null;

    /// <summary>Pages for the new tokens; those that neither these nor later tokens see go to whoever wants them next.</summary>
    private void TakeStreamingPages(RunnerSequence sequence, int added)
    {
        StreamingAttentionConfig streaming = _manifest.Streaming!;
        for (int page = 0; page < sequence.StreamingPages.Count; page++)
        {
            bool seen = page * PageSize < streaming.SinkTokens || (page + 1) * PageSize > streaming.LocalStart(sequence.Length);
            if (!seen && sequence.StreamingPages[page] >= 0)
            {
                _freeStreamingPages.Push(sequence.StreamingPages[page]);
                sequence.StreamingPages[page] = -1;
            }
        }

        while (sequence.StreamingPages.Count * PageSize < sequence.Length + added)
        {
            sequence.StreamingPages.Add(_freeStreamingPages.Pop());
        }
    }

    private int PagesOf(int cache) => !_draft && _manifest.Streaming?.IsStreaming(cache) == true ? StreamingPageCount : PageCount;

    private static Stack<int> Shuffled(int count)
    {
        int[] pages = [.. Enumerable.Range(0, count)];
        new Random(7).Shuffle(pages);
        return new Stack<int>(pages);
    }

    /// <summary>Filled with a value that would show in the logits if a line that was never written were read.</summary>
    private Array NewCache(CacheLayout layout, int index)
    {
        int elements = PagesOf(index) * PageSize * layout.Width;
        if (_manifest.CacheType == CacheType.Int8)
        {
            // As scales such bytes are NaN.
            byte[] bytes = new byte[elements];
            Array.Fill(bytes, (byte)0xFF);
            return bytes;
        }

        if (_manifest.CacheType == CacheType.BFloat16)
        {
            BFloat16[] narrow = new BFloat16[elements];
            Array.Fill(narrow, new BFloat16(0x4780));
            return narrow;
        }

        float[] cache = new float[elements];
        Array.Fill(cache, 1e6f);
        return cache;
    }

    private OrtValue CacheValue(Array cache, int index)
    {
        long[] shape = [PagesOf(index), PageSize, _layouts[index].Width];
        return cache switch
        {
            float[] wide => OrtValue.CreateTensorValueFromMemory(wide, shape),
            byte[] bytes => OrtValue.CreateTensorValueFromMemory(bytes, shape),
            _ => OrtValue.CreateTensorValueFromMemory((BFloat16[])cache, shape),
        };
    }
}

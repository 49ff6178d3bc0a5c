using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Paging;
using LongCat.ML.Inference.Sampling;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Speculation;
using LongCat.ML.Inference.Text;

namespace LongCat.ML.Inference;

/// <summary>
/// Runs an exported model for many requests at once: continuous batching over one pool of cache pages. Requests join and leave at every step;
/// requests with the same beginning share its pages.
/// </summary>
/// <remarks>
/// Thread-safe: all members may be called from any thread at any time. One background thread owns the ONNX Runtime session.
/// The output of a request does not depend on what else is in the batch. Memory for caches is fixed when the engine is loaded: a request that does not fit now
/// waits, one that can never fit fails with numbers. Paged caches follow Kwon et al., Efficient Memory Management for Large Language Model Serving with
/// PagedAttention (2023), section 4; iteration-level scheduling follows Yu et al., Orca (2022), section 3.
/// </remarks>
public sealed partial class InferenceEngine : IDisposable, IAsyncDisposable
{
    private readonly ITextCodec? _codec;
    private readonly IModelRunner _runner;
    private readonly int _pagesPerSequence;
    private readonly int _pageSize;
    private readonly PagePool? _pool;
    private readonly StreamingPool? _streaming;
    private readonly Scheduler _scheduler;
    private readonly StepExecutor _executor;
    private readonly Sampler _sampler;
    private readonly Speculator? _speculator;
    private readonly Dictionary<string, int> _adapters;

    /// <summary>Starts the loop. The engine owns the runner and the proposer from here on.</summary>
    internal InferenceEngine(
        ModelManifest manifest, ITextCodec? codec, IModelRunner runner, EngineOptions options, EngineCapacity capacity, Speculator? speculator = null, Sampler? sampler = null)
    {
        _speculator = speculator;
        _sampler = sampler ?? new Sampler();
        Manifest = manifest;
        Tokenizer = (codec as TokenizerCodec)?.Tokenizer;
        _codec = codec;
        _runner = runner;
        _adapters = runner.Adapters.Select((adapter, index) => (adapter.Name, index)).ToDictionary(pair => pair.Name, pair => pair.index, StringComparer.Ordinal);
        _pagesPerSequence = capacity.PagesPerSequence;
        _pageSize = options.PageSize;
        _pool = capacity.Pages == 0 ? null : new PagePool(capacity.Pages, _pageSize);
        _streaming = capacity.Pattern is null ? null : new StreamingPool(new PagePool(capacity.StreamingPages, _pageSize), capacity.Pattern);
        _scheduler = new Scheduler(_pool, new SchedulerLimits(options.MaxSequences, options.MaxStepTokens, capacity.LogitRows), _streaming) { Speculator = speculator };
        PackedStep step = new(
            options.MaxStepTokens, options.MaxSequences, capacity.PagesPerSequence, _pageSize, manifest.NgramNeighbors, capacity.Pattern, full: _pool is not null);
        _executor = new StepExecutor(_scheduler, runner, step);
        _statistics = Snapshot();
        _thread = new Thread(Loop) { IsBackground = true, Name = "LongCat.ML engine" };
        _thread.Start();
    }

    /// <summary>What the folder's longcat.json says.</summary>
    public ModelManifest Manifest { get; }

    /// <summary>The folder's tokenizer, or null when it holds no tokenizer.json: then prompts are token ids.</summary>
    public HuggingFaceTokenizer? Tokenizer { get; }

    /// <summary>
    /// The most tokens of one sequence, prompt and new tokens together: the model's longest, or what the caches hold of one sequence where that is less (the last new token
    /// takes no place in them).
    /// </summary>
    public int LongestSequence => (int)Math.Min(Manifest.MaxPositions, SequenceTokens + 1);

    /// <summary>Where the weights lie, and why not in huge pages where they were asked for.</summary>
    public WeightPlacement Weights => _runner.Weights;

    /// <summary>The adapters that requests can name, in the order of <see cref="EngineOptions.Adapters"/>.</summary>
    public IReadOnlyList<LoadedAdapter> Adapters => _runner.Adapters;

    /// <summary>Counters; a snapshot taken after the last finished step.</summary>
    public EngineStatistics Statistics => Volatile.Read(ref _statistics);

    private long AdapterBytes() => Adapters.Sum(adapter => adapter.Bytes);
}

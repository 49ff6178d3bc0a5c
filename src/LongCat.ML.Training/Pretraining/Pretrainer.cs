using System.Diagnostics;
using LongCat.ML.Modules;
using LongCat.ML.Training.Data;
using LongCat.ML.Training.Optimization;
using LongCat.ML.Training.Routing;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Training.Pretraining;

/// <summary>
/// Trains a LongCat model from scratch on packed documents: next-token loss, draft-head loss, load balance (2509.01322), AdamW, warm-up and cosine, and the bias controller.
/// </summary>
/// <remarks>
/// A resumed run gives the same weights as an uninterrupted one (bit for bit on the same machine with the same thread count) when the budget counts steps or tokens.
/// The model stays the caller's. Not thread-safe.
/// </remarks>
public sealed class Pretrainer : IDisposable
{
    private readonly PretrainingOptions _options;
    private readonly FusedAdamW _optimizer;
    private readonly ExpertBiasController _controller;
    private readonly WarmupCosineSchedule _schedule;
    private readonly TokenizedDocuments _documents;
    private readonly int _padding;
    private readonly Stopwatch _watch = new();
    private TimeSpan _before;
    private PackedStream _stream;

    /// <summary>Prepares training; weights are taken as they are.</summary>
    /// <param name="model">The model, float32 on the CPU.</param>
    /// <param name="documents">The training documents.</param>
    /// <param name="options">The settings.</param>
    /// <param name="padding">The id that fills the end of a row.</param>
    /// <exception cref="ArgumentException">The model has indexers, whose own training is not published.</exception>
    public Pretrainer(LongcatFlashForCausalLM model, TokenizedDocuments documents, PretrainingOptions options, int padding)
    {
        if (model.Config.Indexer is not null)
        {
            throw new ArgumentException(
                "the model has indexers (index_n_heads): a choice of tokens has no gradient, and how an indexer is trained from scratch is not published; pretrain without these keys",
                nameof(model));
        }

        Model = model;
        _options = options;
        _documents = documents;
        _padding = padding;
        int threads = options.Threads == 0 ? Environment.ProcessorCount : options.Threads;
        _optimizer = new FusedAdamW(Groups(model, options), options.Optimizer, threads);
        _controller = new ExpertBiasController(options.ExpectedRealExperts);
        _schedule = new WarmupCosineSchedule(options.PeakLearningRate, options.WarmupSteps);
        _stream = new PackedStream(documents, options.Columns, options.Seed);
    }

    /// <summary>The model.</summary>
    public LongcatFlashForCausalLM Model { get; }

    /// <summary>Steps made.</summary>
    public long Steps { get; private set; }

    /// <summary>Tokens seen, padding not counted.</summary>
    public long Tokens { get; private set; }

    /// <summary>Time trained, over all resumed parts.</summary>
    public TimeSpan Elapsed => _before + _watch.Elapsed;

    /// <summary>The share of the budget that is spent; 1 ends training.</summary>
    public double Progress => _options.Budget.Progress(Steps, Tokens, Elapsed);

    /// <summary>Where training stands.</summary>
    public TrainingPosition Position => new(1, Steps, _optimizer.Steps, Tokens, Elapsed.TotalSeconds, _stream.Epoch, _stream.Row, _options.Seed, _options.Columns);

    internal FusedAdamW Optimizer => _optimizer;

    /// <summary>Makes one step.</summary>
    /// <returns>What it did.</returns>
    public StepReport Step()
    {
        _watch.Start();
        double rate = _schedule.Rate(Steps, Progress);
        using var scope = NewDisposeScope();
        using var batch = _stream.Next(_options.Rows, _padding);
        using var draftRows = _options.DraftWeight > 0 && Model.Model.DraftHead is not null
            ? batch.Sequences.FirstRows(Math.Min(_options.DraftRows, _options.Rows)) : null;
        var result = Model.Forward(batch.Sequences);
        var mainLoss = CrossEntropy(Model.Logits(result.Hidden), batch.Next);
        var total = mainLoss;
        Tensor? draftLoss = null;
        if (draftRows is not null)
        {
            var hidden = result.Hidden.narrow(0, 0, draftRows.Tokens);
            draftLoss = CrossEntropy(Model.Logits(Model.ForwardDraft(hidden, draftRows)), batch.Second[..draftRows.Tokens]);
            total = total.add(draftLoss.mul(_options.DraftWeight));
        }

        var config = Model.Config;
        double balance = 0, realExperts = 0;
        foreach (var decision in result.Routing)
        {
            if (_options.BalanceWeight > 0)
            {
                var layerBalance = RoutingLosses.LoadBalance(decision, config.NumRoutedExperts, config.MoeTopK, _options.BalanceGroups, _options.ExpectedRealExperts);
                balance += layerBalance.item<float>() / result.Routing.Count;
                total = total.add(layerBalance.mul(_options.BalanceWeight));
            }

            realExperts += decision.Counts[..config.NumRoutedExperts].Sum() / (double)batch.Sequences.Tokens / result.Routing.Count;
        }

        if (_options.HiddenZWeight > 0)
        {
            total = total.add(RoutingLosses.HiddenZ(result.LastLayer).mul(_options.HiddenZWeight));
        }

        total.backward();
        double norm = _optimizer.Step(rate);
        _controller.Step(Model, result.Routing, _options.BiasStep * rate / _options.PeakLearningRate);
        Steps++;
        Tokens += batch.Tokens;
        _watch.Stop();
        return new StepReport(Steps, Tokens, _stream.Epoch, mainLoss.item<float>(), draftLoss?.item<float>() ?? double.NaN, balance, realExperts, rate, norm);
    }

    /// <summary>Puts a saved position back; weights and moments are restored beside it.</summary>
    /// <param name="position">The position.</param>
    internal void Restore(TrainingPosition position)
    {
        Steps = position.Step;
        Tokens = position.Tokens;
        _before = TimeSpan.FromSeconds(position.Seconds);
        _watch.Reset();
        _stream = new PackedStream(_documents, _options.Columns, _options.Seed, position.Epoch, position.Row);
    }

    /// <summary>Lets go of the optimizer's state; the model stays the caller's.</summary>
    public void Dispose() => _optimizer.Dispose();

    private static Tensor CrossEntropy(Tensor logits, long[] targets) =>
        nn.functional.cross_entropy(logits, tensor(targets), ignore_index: PackedBatch.NoTarget);

    private static List<ParameterGroup> Groups(LongcatFlashForCausalLM model, PretrainingOptions options)
    {
        List<(string, Parameter)> matrices = [], tables = [], norms = [];
        foreach (var (name, parameter) in model.named_parameters())
        {
            bool isTable = name.Contains("embed_tokens", StringComparison.Ordinal) || name.Contains("embedders", StringComparison.Ordinal);
            (parameter.shape.Length == 1 ? norms : isTable ? tables : matrices).Add((name, parameter));
        }

        return
        [
            new ParameterGroup(matrices, 1, options.WeightDecay),
            new ParameterGroup(norms, 1, 0),
            new ParameterGroup(tables, options.EmbeddingRateFactor, 0),
        ];
    }
}

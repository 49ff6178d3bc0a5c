using System.Globalization;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Training.Optimization;
using TorchSharp.Modules;

namespace LongCat.ML.Training.FineTuning;

/// <summary>An adapter on the frozen model.</summary>
internal sealed class AdapterWeights(AdaptedModel adapted, LoraOptions options) : TunedWeights
{
    /// <summary>What LoRA+ gives embeddings' adapters, whatever the rate (2402.12354, the authors' code).</summary>
    private const double EmbeddingRate = 1e-6;

    public AdaptedModel Adapted => adapted;

    public override IReadOnlyList<(string Name, Parameter Value)> Parameters { get; } = [.. adapted.Parameters.Select(p => (p.Name, p.Parameter))];

    public override double Beta => adapted.Beta;

    public override string Description
    {
        get
        {
            string kind = options.UseDora ? "DoRA" : options.UseRsLora ? "rsLoRA" : "LoRA";
            string text = string.Create(CultureInfo.InvariantCulture,
                $"{kind}, rank {options.Rank}, alpha {options.Alpha}, dropout {options.Dropout}, initialization {options.Initialization.PeftName}, targets {options.Targets?.ToString() ?? "of the family"}, seed {options.Seed}");
            return options.Afa is not { } afa ? text : string.Create(CultureInfo.InvariantCulture,
                $"AFA-{text}, {afa.Activation}, {afa.Schedule} from {afa.BetaStart} over {afa.StartFraction}..{afa.EndFraction} of the steps{(afa.Schedule == AfaSchedule.Step ? $" in {afa.Stairs} stairs" : "")}");
        }
    }

    public override IReadOnlyList<(string Module, long Parameters)> ByModule => [.. adapted.Summary.Modules.Select(m => (m.Module, m.Trainable))];

    /// <summary>
    /// PEFT's rules: everything decays but biases; with LoRA+ B and all vectors have the rate times its ratio, embeddings a rate of their own. N-gram tables do not decay, since only rows that were read change.
    /// </summary>
    public override IReadOnlyList<ParameterGroup> Groups(FineTuningOptions tuning)
    {
        bool plus = tuning.LoraPlusRatio != 1;
        List<ParameterGroup> groups = [];
        foreach (var group in adapted.Parameters.GroupBy(p => (Rate: RateFactor(p), Decays: Decays(p), Sparse: p.Role == AdapterRole.NGramTable)))
        {
            groups.Add(new ParameterGroup([.. group.Select(p => (p.Name, p.Parameter))], group.Key.Rate, group.Key.Decays ? tuning.WeightDecay : 0) { Sparse = group.Key.Sparse });
        }

        return groups;

        double RateFactor(AdapterParameter p) => !plus ? 1
            : p.Role is AdapterRole.Embedding ? EmbeddingRate / tuning.LearningRate
            : p.Role is AdapterRole.B or AdapterRole.Magnitude || p.Parameter.shape.Length == 1 ? tuning.LoraPlusRatio : 1;

        static bool Decays(AdapterParameter p) => p.Role != AdapterRole.NGramTable && !p.Name.EndsWith("bias", StringComparison.Ordinal) && !p.Name.EndsWith("norm.weight", StringComparison.Ordinal);
    }

    public override IReadOnlyList<SparseGradient> TakeSparseGradients() => [.. adapted.TakeTableGradients().Select(g => new SparseGradient(g.Table.Name, g.Rows, g.Gradient))];

    public override void StepTo(long step, long totalSteps) => adapted.StepTo(step, totalSteps);

    public override void Write(string folder)
    {
        using var adapter = adapted.ToPeft();

        // Once β is 0 the adapter is a plain one, and says nothing else.
        using var plain = adapter.Beta == 0 ? PeftAdapter.Create(adapter.Config, adapter.Modules.Values, adapter.SavedModules.Values, afa: null, adapter.Name, adapter.TrainedOn) : null;
        (plain ?? adapter).Save(folder);
    }

    public override void Dispose() => adapted.Dispose();
}

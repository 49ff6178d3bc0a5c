using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;

namespace LongCat.ML.Benchmarks.Lora;

/// <summary>A way to adapt the model: what is trained, and the learning rates to choose from.</summary>
/// <param name="Name">What the tables call it.</param>
/// <param name="Lora">The adapter; null trains every weight.</param>
/// <param name="Rates">The grid of learning rates.</param>
internal sealed record StudyMethod(string Name, LoraOptions? Lora, IReadOnlyList<double> Rates)
{
    /// <summary>Rates of adapters; those of all weights are ten times smaller, as is usual (the best one is looked for beyond the ends of the grid too).</summary>
    private static readonly double[] AdapterRates = [1e-3, 3e-3, 1e-2];

    private static readonly LoraOptions Plain = new() { Rank = 8, Alpha = 16 };

    public static IReadOnlyList<StudyMethod> All { get; } =
    [
        new("full fine-tuning", null, [1e-4, 3e-4, 1e-3]),
        new("LoRA", Plain, AdapterRates),
        .. from activation in new[] { AfaActivation.Relu, AfaActivation.Silu, AfaActivation.Gelu }
           from schedule in new[] { AfaSchedule.Linear, AfaSchedule.Cosine }
           select new StudyMethod($"AFA-LoRA {Text(activation)}, {schedule.ToString().ToLowerInvariant()}", Plain with { Afa = new AfaOptions { Activation = activation, Schedule = schedule } }, AdapterRates),
        new("rsLoRA", Plain with { UseRsLora = true }, AdapterRates),
        new("DoRA", Plain with { UseDora = true }, AdapterRates),
        new("PiSSA", Plain with { Initialization = LoraInitialization.Pissa }, AdapterRates),
    ];

    private static string Text(AfaActivation activation) => activation switch { AfaActivation.Relu => "ReLU", AfaActivation.Silu => "SiLU", _ => "GELU" };
}

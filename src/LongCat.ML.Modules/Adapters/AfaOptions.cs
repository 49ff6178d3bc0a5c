using System.Globalization;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Modules;

/// <summary>
/// Annealing of AFA-LoRA (2512.22455): φβ(z) = β · σ(z) + (1 - β) · z between A and B, β from <see cref="BetaStart"/> to exactly 0, where the adapter is a plain one.
/// The paper fixes the form alone; the defaults of the schedule are this library's.
/// </summary>
public sealed record AfaOptions
{
    /// <summary>k of the exponential schedule.</summary>
    private const double Decay = 5;

    /// <summary>σ; with <see cref="AfaActivation.Relu"/> the blend is a leaky ReLU of slope 1 - β.</summary>
    public AfaActivation Activation { get; init; } = AfaActivation.Relu;

    /// <summary>How β falls.</summary>
    public AfaSchedule Schedule { get; init; } = AfaSchedule.Linear;

    /// <summary>The share of the steps after which β begins to fall, 0 to below <see cref="EndFraction"/>.</summary>
    public double StartFraction { get; init; }

    /// <summary>The share of the steps after which β is 0, at most 1. The rest trains the plain adapter, into which A and B must settle.</summary>
    public double EndFraction { get; init; } = 0.3;

    /// <summary>β until it begins to fall, 0 to 1.</summary>
    public double BetaStart { get; init; } = 1;

    /// <summary>The number of stairs of <see cref="AfaSchedule.Step"/>, at least 1: β is constant within one, and the one after the last is 0.</summary>
    public int Stairs { get; init; } = 4;

    /// <summary>β of a step.</summary>
    /// <param name="step">The step, from 0.</param>
    /// <param name="totalSteps">Steps of the whole training, at least 1.</param>
    /// <returns>0 to <see cref="BetaStart"/>; exactly 0 from step <see cref="EndFraction"/> · <paramref name="totalSteps"/> on.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A negative step, or no steps at all.</exception>
    public double Beta(long step, long totalSteps)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        ArgumentOutOfRangeException.ThrowIfLessThan(totalSteps, 1);
        double start = StartFraction * totalSteps, end = EndFraction * totalSteps;

        // Not by the formulas: half a period of a cosine ends near 0, not at it.
        if (step >= end)
        {
            return 0;
        }

        double u = Math.Clamp((step - start) / (end - start), 0, 1);
        return BetaStart * Schedule switch
        {
            AfaSchedule.Cosine => 0.5 * (1 + Math.Cos(Math.PI * u)),
            AfaSchedule.Exponential => (Math.Exp(-Decay * u) - Math.Exp(-Decay)) / (1 - Math.Exp(-Decay)),
            AfaSchedule.Step => 1 - (Math.Floor(u * Stairs) / Stairs),
            _ => 1 - u,
        };
    }

    /// <summary>Refuses values that are out of range.</summary>
    /// <exception cref="ArgumentException">A value is out of range; the message names it.</exception>
    public void Validate()
    {
        string? problem =
            !Enum.IsDefined(Activation) ? $"Activation is {Activation}, expected one of {string.Join(", ", Enum.GetNames<AfaActivation>())}"
            : !Enum.IsDefined(Schedule) ? $"Schedule is {Schedule}, expected one of {string.Join(", ", Enum.GetNames<AfaSchedule>())}"
            : !(StartFraction >= 0 && StartFraction < EndFraction && EndFraction <= 1) ? Text($"StartFraction is {StartFraction} and EndFraction {EndFraction}, expected 0 <= start < end <= 1")
            : !(BetaStart >= 0 && BetaStart <= 1) ? Text($"BetaStart is {BetaStart}, expected a number from 0 to 1")
            : Stairs < 1 ? $"Stairs is {Stairs}, expected at least 1"
            : null;
        if (problem is not null)
        {
            throw new ArgumentException($"{nameof(AfaOptions)}.{problem}");
        }

        static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
    }

    /// <summary>The options that a stored state was made with.</summary>
    internal static AfaOptions Of(AfaState state) => new()
    {
        Activation = state.Activation,
        Schedule = state.Schedule,
        StartFraction = state.StartFraction,
        EndFraction = state.EndFraction,
        BetaStart = state.BetaStart,
        Stairs = state.Stairs,
    };

    /// <summary>What is stored beside the adapter.</summary>
    internal AfaState ToState(long step, long totalSteps, double beta) => new()
    {
        Step = step,
        TotalSteps = totalSteps,
        Beta = beta,
        Activation = Activation,
        Schedule = Schedule,
        StartFraction = StartFraction,
        EndFraction = EndFraction,
        BetaStart = BetaStart,
        Stairs = Stairs,
    };
}

using System.Globalization;
using System.Text;

namespace LongCat.ML.Modules;

/// <summary>What an adapter trains.</summary>
/// <param name="Modules">One entry per module, in the order of the forward pass.</param>
/// <param name="BaseParameters">Values of the whole base model.</param>
public sealed record TrainableSummary(IReadOnlyList<TrainableModule> Modules, long BaseParameters)
{
    /// <summary>Values that are trained.</summary>
    public long Trainable => Modules.Sum(module => module.Trainable);

    /// <summary>Trained values over values of the base model.</summary>
    public double Share => (double)Trainable / BaseParameters;

    /// <summary>A table with a line per module.</summary>
    /// <returns>Several lines.</returns>
    public override string ToString()
    {
        StringBuilder text = new();
        int width = Modules.Max(module => module.Module.Length);
        foreach (TrainableModule module in Modules)
        {
            text.Append(CultureInfo.InvariantCulture, $"{module.Module.PadRight(width)}  {(module.Rank == 0 ? "whole" : $"r = {module.Rank}"),-8} {module.Trainable,14:N0} of {module.Base:N0}").AppendLine();
        }

        return text.Append(CultureInfo.InvariantCulture, $"{Trainable:N0} trainable values in {Modules.Count} modules, {Share:P3} of {BaseParameters:N0}").ToString();
    }
}

using System.Globalization;
using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>An adapter in figures: what <c>longcat inspect</c> shows of an adapter's folder.</summary>
public sealed record AdapterSummary
{
    private const int LabelWidth = 12;
    private const int MostListed = 24;

    private AdapterSummary(PeftAdapter adapter, IReadOnlyList<AdapterModuleSummary> groups) => (Adapter, Groups) = (adapter, groups);

    /// <summary>The adapter.</summary>
    public PeftAdapter Adapter { get; }

    /// <summary>Modules of one kind in all layers together, in ordinal order of their names.</summary>
    public IReadOnlyList<AdapterModuleSummary> Groups { get; }

    /// <summary>Sums an adapter up.</summary>
    /// <param name="adapter">The adapter; it must stay undisposed as long as the summary is used.</param>
    /// <returns>The summary.</returns>
    public static AdapterSummary Of(PeftAdapter adapter)
    {
        ArgumentNullException.ThrowIfNull(adapter);
        IEnumerable<AdapterModuleSummary> modules = adapter.Modules.Values
            .GroupBy(m => (Name: Numberless(m.Module), m.Rank, m.Scale, m.In, m.Out))
            .Select(g => new AdapterModuleSummary(g.Key.Name, g.Count(), g.Key.Rank, g.Key.Scale, g.Key.In, g.Key.Out, g.Sum(m => m.ParameterCount)));
        return new AdapterSummary(adapter, [.. modules.OrderBy(g => g.Name, StringComparer.Ordinal).ThenBy(g => g.Rank)]);
    }

    /// <summary>The summary as plain text for a terminal.</summary>
    /// <returns>Lines ended by a line feed. English number formats.</returns>
    public string ToText()
    {
        PeftConfig config = Adapter.Config;
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"{Kind(config)} adapter · {Adapter.ParameterCount:N0} parameters in {Adapter.Modules.Count:N0} modules\n");
        Fact(text, "folder", Adapter.Name);
        Fact(text, "base", config.BaseModelNameOrPath is { } name ? CheckpointException.Printable(name) : "not named");
        Fact(text, "rank", Line($"{config.Rank}{(config.RankPattern is { Count: > 0 } ranks ? $", other for {string.Join(", ", ranks.Select(p => Line($"{p.Key} ({p.Value})")))}" : "")}"));
        Fact(text, "alpha", Line($"{config.Alpha:R}{(config.AlphaPattern is { Count: > 0 } alphas ? $", other for {string.Join(", ", alphas.Select(p => Line($"{p.Key} ({p.Value:R})")))}" : "")}"));
        Fact(text, "targets", config.Targets is { } targets ? CheckpointException.Printable(targets.ToString()) : config.TargetParameters is { Count: > 0 } parameters ? string.Join(", ", parameters) : "none");
        Fact(text, "annealing", Adapter.Afa switch
        {
            null => "none",
            { Beta: 0 } done => Line($"{done.Activation} by a {done.Schedule} schedule, over: the adapter is a plain one"),
            { } afa => Line($"{afa.Activation} by a {afa.Schedule} schedule, β = {afa.Beta:R} after step {afa.Step:N0} of {afa.TotalSteps:N0}: cannot be merged yet"),
        });
        if (Adapter.TrainedOn is { } weights)
        {
            Fact(text, "trained on", $"{TrainingBase.Name(weights)} weights{(weights is WeightPrecision.W4A8 or WeightPrecision.Int4 ? ": merged into others on request only" : "")}");
        }

        if (config.ChangesBase)
        {
            Fact(text, "warning", $"initialized by {config.InitLoraWeights}, not converted: it does not go with the published base weights");
        }

        Fact(text, "content", Adapter.ContentHash);
        text.Append(CultureInfo.InvariantCulture, $"\n  {"modules",8}{"rank",6}{"scale",10}{"in",10}{"out",10}{"parameters",16}  name\n");
        foreach (AdapterModuleSummary group in Groups.Take(MostListed))
        {
            text.Append(CultureInfo.InvariantCulture, $"  {group.Count,8:N0}{group.Rank,6}{group.Scale,10:G4}{group.In,10:N0}{group.Out,10:N0}{group.Parameters,16:N0}  {CheckpointException.Printable(group.Name)}\n");
        }

        if (Groups.Count > MostListed)
        {
            text.Append(CultureInfo.InvariantCulture, $"  … and {Groups.Count - MostListed} more\n");
        }

        foreach (AdapterTensor tensor in Adapter.SavedModules.Values.Take(MostListed))
        {
            text.Append(CultureInfo.InvariantCulture, $"  replaces {CheckpointException.Printable(tensor.Name)} {tensor.Type.SafetensorsName()} {TensorEntry.ShapeText(tensor.Shape)}\n");
        }

        return text.ToString();
    }

    private static string Kind(PeftConfig config) => config.UseDora ? "DoRA" : config.UseRsLora ? "rsLoRA" : "LoRA";

    /// <summary>A path with stars for the numbers of layers and experts; those of LongCat's two sublayers stay.</summary>
    private static string Numberless(string path)
    {
        string[] parts = path.Split('.');
        for (int i = 1; i < parts.Length; i++)
        {
            if (parts[i - 1] is "layers" or "experts" && parts[i].All(char.IsAsciiDigit))
            {
                parts[i] = "*";
            }
        }

        return string.Join('.', parts);
    }

    private static string Line(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static void Fact(StringBuilder text, string label, string value) => text.Append("  ").Append(label.PadRight(LabelWidth)).Append(value).Append('\n');
}

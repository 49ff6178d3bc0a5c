using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Adapters;

namespace LongCat.ML.Inference.Adapters;

/// <summary>Whether an adapter can run on an exported model as it is; everything that can be said before values are looked at.</summary>
internal sealed class AdapterCheck(string folder, AdapterGraph graph)
{
    private const string Merge = "longcat export <checkpoint> --adapter <peft folder>";
    private const string Report = "quantization.json";
    private readonly bool _equalized = IsEqualized(Path.Combine(folder, Report));

    /// <exception cref="InferenceException">The adapter cannot run on the model; the message names it, what is wrong and what to do.</exception>
    public void Check(AdapterSource source)
    {
        PeftAdapter adapter = source.Adapter;
        if (adapter.Afa is { Beta: not 0 } afa)
        {
            throw Refused(source, $"it is still annealing (AFA-LoRA, β = {afa.Beta} at step {afa.Step}): until β is 0 it is no product of two matrices. Train it to the end.");
        }

        if (adapter.SavedModules.Count > 0)
        {
            throw Refused(source, $"it replaces {Names(adapter.SavedModules.Keys)} (modules_to_save), which an engine shares among all requests. Merge it into the model: {Merge}.");
        }

        if (adapter.Modules.Count == 0)
        {
            throw Refused(source, "it changes no module; at least one is expected.");
        }

        if (_equalized)
        {
            throw Refused(
                source, $"the model in {folder} was quantized with equalization, which moves factors from norms into the matrices behind them, so that the adapter does not fit their inputs. "
                + $"Quantize without equalization, or merge the adapter: {Merge}.");
        }

        string[] unknown = [.. adapter.Modules.Keys.Where(module => !Takes(module)).Order(StringComparer.Ordinal)];
        if (unknown.Length > 0)
        {
            throw new InferenceException(
                $"{Prefix(source)}: the model in {folder} takes no adapter of {unknown.Length} of its {adapter.Modules.Count} modules ({Names(unknown)}). {Reason(unknown[0])}");
        }

        foreach (AdapterMatrix matrix in adapter.Modules.Values)
        {
            CheckSizes(source, matrix, graph.Find(matrix.Module));
        }
    }

    private void CheckSizes(AdapterSource source, AdapterMatrix matrix, AdaptableModule module)
    {
        if (matrix.Kind != AdapterKind.Linear)
        {
            throw Refused(source, $"{matrix.Module} is adapted as a table of vectors; the model multiplies with it. Merge it: {Merge}.");
        }

        if (matrix.Bias is not null)
        {
            throw Refused(source, $"{matrix.Module} has a bias of its own (lora_bias), which cannot be added for single requests. Merge it: {Merge}.");
        }

        bool padded = module.Weight.Shape.Count == 4 && module.Experts == 0 && matrix.In + 1 == module.InFeatures;
        if (matrix.Out != module.OutFeatures || (matrix.In != module.InFeatures && !padded))
        {
            throw Refused(
                source, $"{matrix.Module} is adapted as [{matrix.Out}, {matrix.In}], and the model in {folder} has [{module.OutFeatures}, {module.InFeatures}] there. Was the adapter trained on this model?");
        }
    }

    private bool Takes(string module) => graph.Modules.ContainsKey(module) || Reason(module).Length == 0;

    /// <summary>What the graph says of a module that it does not take.</summary>
    private string Reason(string module)
    {
        try
        {
            graph.Find(module);
            return "";
        }
        catch (CheckpointException exception)
        {
            return exception.Message;
        }
    }

    private static string Names(IEnumerable<string> names)
    {
        string[] all = [.. names];
        return string.Join(", ", all.Take(3)) + (all.Length > 3 ? $" and {all.Length - 3} more" : "");
    }

    private static string Prefix(AdapterSource source) => $"the adapter '{source.Name}' ({source.Folder})";

    private static InferenceException Refused(AdapterSource source, string message) => new($"{Prefix(source)}: {message}");

    /// <summary>Folders say it in their report; those of later versions in the graph's metadata too.</summary>
    private static bool IsEqualized(string report)
    {
        if (!File.Exists(report))
        {
            return false;
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(report));
            return document.RootElement.TryGetProperty("options", out JsonElement options)
                && options.TryGetProperty("equalize", out JsonElement equalize)
                && equalize.ValueKind == JsonValueKind.True;
        }
        catch (JsonException exception)
        {
            throw new CheckpointException(report, $"the report is no JSON: {exception.Message} Export the model again.", exception);
        }
    }
}

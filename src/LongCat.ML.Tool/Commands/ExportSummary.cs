using System.Globalization;
using System.Text;
using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;
using LongCat.ML.Quantization;

namespace LongCat.ML.Tool.Commands;

/// <summary>What <c>longcat inspect</c> shows of an ONNX folder: its manifest, and of a quantized one the scheme and the errors of quantization.json.</summary>
internal static class ExportSummary
{
    private const int LabelWidth = 12;

    /// <exception cref="CheckpointException">longcat.json or quantization.json is damaged, or a file is missing.</exception>
    public static string Of(string folder)
    {
        ModelManifest manifest = ModelManifest.Read(folder);
        StringBuilder text = new();
        text.Append(Line($"{manifest.Architecture} · exported as {manifest.Precision.ToString().ToLowerInvariant()} · {ProgressLine.Scaled(manifest.Files.Values.Sum(file => (double)file.Bytes))}B in {manifest.Files.Count} files\n"));
        Fact(text, "folder", Path.GetFullPath(folder));
        Fact(text, "operators", manifest.Operators == OperatorSet.Standard ? "ONNX and com.microsoft" : "longcat");
        Fact(text, "model", Line($"hidden size {manifest.HiddenSize:N0}, vocabulary {manifest.VocabSize:N0}, {manifest.MaxPositions:N0} tokens of context"));
        Fact(text, "caches", Line($"{manifest.Caches.Count} in {manifest.CacheType.ToString().ToLowerInvariant()}, {manifest.Caches.Sum(cache => (long)cache.Width):N0} {(manifest.CacheType == CacheType.Int8 ? "bytes" : "values")} per token"));
        if (manifest.Streaming is { } streaming)
        {
            Fact(text, "streaming", Line($"{streaming.AttentionLayers.Count} of the caches: {streaming.SinkBlocks:N0} first and {streaming.LocalBlocks:N0} latest blocks of {streaming.BlockSize:N0}, at most {streaming.Span:N0} tokens"));
        }

        Fact(text, "draft head", manifest.DraftCaches is { Count: > 0 } ? "draft.onnx" : "none");
        Fact(text, "content", manifest.ContentHash);
        string report = Path.Combine(folder, QuantizationReport.JsonName);
        if (manifest.Precision == WeightPrecision.W4A8 && File.Exists(report))
        {
            AppendScheme(text, report);
        }

        return text.ToString();
    }

    private static void AppendScheme(StringBuilder text, string path)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path));
            JsonElement options = document.RootElement.GetProperty("options"), totals = document.RootElement.GetProperty("totals"), calibration = document.RootElement.GetProperty("calibration");
            int group = options.GetProperty("group_size").GetInt32();
            Fact(text, "quantized", Line(
                $"recipe {Word(options, "recipe")}, {(group == 0 ? "one scale per channel" : Line($"groups of {group}"))}, scales {Word(options, "scaling")}, activations {Word(options, "activations")}, clipping {Word(options, "clipping")}")
                + $"{(options.GetProperty("compensate").GetBoolean() ? ", errors compensated" : "")}{(options.GetProperty("equalize").GetBoolean() ? ", equalized" : "")}");
            Fact(text, "kept", $"head {Word(options, "head")}, n-gram tables {Word(options, "ngram_tables")}{(options.GetProperty("experts").GetBoolean() ? "" : ", experts")}");
            long tokens = calibration.GetProperty("tokens").GetInt64();
            Fact(text, "calibration", tokens == 0 ? "none" : Line($"{tokens:N0} {(calibration.GetProperty("data_free").GetBoolean() ? "random " : "")}tokens; {totals.GetProperty("without_calibration_rows").GetInt32()} matrices that none reached"));
            Fact(text, "error", Line(
                $"{totals.GetProperty("mean_relative_error").GetDouble():P2} in the mean of {totals.GetProperty("matrices").GetInt32()} matrices, {totals.GetProperty("worst_relative_error").GetDouble():P2} at worst; {totals.GetProperty("clipped_share").GetDouble():P2} of {totals.GetProperty("weights").GetInt64():N0} weights clipped"));
            AppendMatrices(text, document.RootElement.GetProperty("matrices"));
        }
        catch (Exception exception) when (exception is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new CheckpointException(path, $"the file is no report of a quantization: {exception.Message}");
        }
    }

    private static void AppendMatrices(StringBuilder text, JsonElement matrices)
    {
        text.Append(Line($"\n{"levels",-14}{"inputs",-10}{"group",6}{"matrices",10}{"weights",14}{"mean error",12}{"worst",10}\n"));
        foreach (var kind in matrices.EnumerateArray()
            .GroupBy(matrix => (Scheme: Word(matrix, "scheme"), Activation: Word(matrix, "activation"), Group: matrix.GetProperty("group_size").GetInt32()))
            .OrderBy(kind => kind.Key))
        {
            text.Append(Line(
                $"{kind.Key.Scheme,-14}{kind.Key.Activation,-10}{kind.Key.Group,6}{kind.Count(),10:N0}{kind.Sum(matrix => matrix.GetProperty("out_features").GetInt64() * matrix.GetProperty("in_features").GetInt64()),14:N0}"))
                .Append(Line($"{kind.Average(Error),12:P2}{kind.Max(Error),10:P2}\n"));
        }

        static double Error(JsonElement matrix) => matrix.GetProperty("relative_error").GetDouble();
    }

    private static string Word(JsonElement element, string name) => element.GetProperty(name).GetString() ?? "";

    private static void Fact(StringBuilder text, string label, string value) => text.Append("  ").Append(label.PadRight(LabelWidth)).Append(value).Append('\n');

    private static string Line(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

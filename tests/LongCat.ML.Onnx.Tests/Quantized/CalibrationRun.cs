using LongCat.ML.Checkpoints;
using LongCat.ML.Quantization;

namespace LongCat.ML.Onnx.Tests;

/// <summary>Statistics of a few prompts, read from a probe export: what LongCat.ML.Inference does for users, without an engine.</summary>
internal static class CalibrationRun
{
    public static StatisticsTable Collect(string checkpoint, string probeFolder, bool gram, params long[][] prompts)
    {
        ExportResult export = OnnxExporter.Export(checkpoint, probeFolder, new ExportOptions { Probes = true, Overwrite = true });
        Dictionary<string, SiteAccumulator> accumulators = export.Sites.Concat(export.DraftSites).ToDictionary(site => site.Name, site => new SiteAccumulator(site, gram));
        LinearSite[] mixtures = [.. export.Sites.Where(site => site.FloatReaders.Count > 0)];
        string[] names = [.. export.Sites.Where(site => site.Parent is null).Select(site => site.Name)];
        using GraphRunner runner = new(export.Folder, KernelPath.Supported[^1]);
        foreach (long[] prompt in prompts)
        {
            Dictionary<string, float[]> values = runner.Read(
                [.. names, .. mixtures.SelectMany(site => new[] { $"{site.Name}.selected", $"{site.Name}.inner" })], new RunnerChunk(new RunnerSequence(), prompt));
            foreach (string name in names)
            {
                accumulators[name].Add(values[name]);
            }

            foreach (LinearSite mixture in mixtures)
            {
                float[] selected = values[$"{mixture.Name}.selected"], inner = values[$"{mixture.Name}.inner"];
                int topK = selected.Length / prompt.Length, width = inner.Length / selected.Length;
                for (int slot = 0; slot < selected.Length; slot++)
                {
                    if (accumulators.TryGetValue($"{mixture.Name}.expert.{selected[slot]}", out SiteAccumulator? expert))
                    {
                        expert.Add(values[mixture.Name].AsSpan(slot / topK * mixture.Channels, mixture.Channels));
                        accumulators[$"{mixture.Name}.inner.{selected[slot]}"].Add(inner.AsSpan(slot * width, width));
                    }
                }
            }
        }

        return new StatisticsTable(accumulators.Values.Select(accumulator => accumulator.Complete()), prompts.Sum(prompt => prompt.Length));
    }
}

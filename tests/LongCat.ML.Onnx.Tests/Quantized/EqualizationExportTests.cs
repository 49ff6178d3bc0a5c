using LongCat.ML.Checkpoints;
using LongCat.ML.Quantization;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Onnx.Tests;

/// <summary>FPTQ's equalization, folded into norms, projections, experts and routers of a float export: the model is the same.</summary>
[Collection(KernelPath.Collection)]
public sealed class EqualizationExportTests(ITestOutputHelper output) : IDisposable
{
    // A product of one multiplied and one divided number differs from the plain product by three roundings of 2^-24; logits reach about 5 and pass a few layers.
    private const double Tolerance = 2e-5;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("Llama with biases")]
    [InlineData("Qwen3-MoE, weights not normalized")]
    [InlineData("Mixtral with a window")]
    [InlineData("LongCat")]
    [InlineData("LongCat, zero experts dropped")]
    public void A_folded_float_model_gives_the_same_logits(string name)
    {
        if (name.StartsWith("LongCat", StringComparison.Ordinal))
        {
            RandomCheckpoint.Write(_folder["in"], new RandomCheckpointOptions { Layers = 2, DropZeroExperts = name != "LongCat" });
        }
        else
        {
            RandomDecoder.Write(_folder["in"], RandomDecoder.Models[name]);
        }

        long[] prompt = [.. Enumerable.Range(0, 24).Select(i => (long)(3 + (i * 37 % 260)))];
        StatisticsTable statistics = CalibrationRun.Collect(_folder["in"], _folder["probe"], gram: false, prompt);
        ExportResult plain = OnnxExporter.Export(_folder["in"], _folder["plain"], new ExportOptions { Precision = WeightPrecision.F32 });
        Equalization plan = Equalization.Plan(
            new QuantizationOptions { Recipe = QuantizationRecipe.RoundToNearest, Equalize = true }.Resolve(), plain.Sites, statistics);
        ExportResult folded = OnnxExporter.Export(_folder["in"], _folder["folded"], new ExportOptions { Precision = WeightPrecision.F32, Equalization = plan });

        float[][] logits = [.. new[] { plain, folded }.Select(export =>
        {
            using GraphRunner runner = new(export.Folder, KernelPath.Supported[^1]);
            return runner.Run(new RunnerChunk(new RunnerSequence(), prompt)).Logits;
        })];
        double largest = logits[0].Zip(logits[1], (a, b) => Math.Abs((double)a - b)).Max();
        output.WriteLine($"{name}: {plan.Sites.Count} sites folded; max abs diff {largest:E2}, tolerance {Tolerance:E0}, largest logit {logits[0].Max(Math.Abs):F1}");

        Assert.Equal(plain.Sites.Count(site => site.Norm is not null), plan.Sites.Count(site => !site.Contains(".expert.", StringComparison.Ordinal)));
        if (name.StartsWith("LongCat", StringComparison.Ordinal))
        {
            // Zero experts that give their input back cannot undo a division of it.
            Assert.Equal(name != "LongCat", plan.Sites.Contains("layers.0.post_norm.0"));
        }

        Assert.NotEqual(plain.Manifest.ContentHash, folded.Manifest.ContentHash);
        Assert.True(largest <= Tolerance, $"max abs diff {largest:E2}");
    }
}

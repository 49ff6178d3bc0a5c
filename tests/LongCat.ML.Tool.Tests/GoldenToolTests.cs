using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.ToolTests;

/// <summary>The tools over the golden fixtures, as a user would check a model: export, logits, generate.</summary>
public sealed class GoldenToolTests(ITestOutputHelper output)
{
    [GoldenTheory]
    [InlineData("longcat-lite", "longcat")]
    [InlineData("longcat-flash-yarn", "longcat")]
    [InlineData("llama", "longcat")]
    [InlineData("longcat-lite", "standard")]
    public void Exported_logits_and_greedy_ids_are_the_golden_ones(string fixture, string operators)
    {
        using TemporaryFolder folder = new();
        string onnx = Path.Combine(folder.Path, "onnx"), logits = Path.Combine(folder.Path, "logits.safetensors");
        string golden = GoldenFixtures.Path(fixture, "golden.safetensors");
        Succeeds(ToolProcess.LongCat("export", GoldenFixtures.Path(fixture), "--output", onnx, "--ops", operators, "--precision", "f32"));
        Succeeds(ToolProcess.LongCat("logits", onnx, "--ids-file", golden, "--output", logits));

        using SafetensorsFile expected = SafetensorsFile.Open(golden);
        float[] got = LongCatVerbTests.Logits(logits, out IReadOnlyList<long> shape);
        Assert.Equal(expected.Tensors["logits"].Shape, shape);
        float worst = expected.ReadFloat32("logits").Zip(got, (a, b) => Math.Abs(a - b)).Max();
        // The fixtures' own limit for float32 on another machine.
        output.WriteLine($"{fixture}: logits differ by {worst:E2}, limit 5e-5");
        Assert.True(worst <= 5e-5f);

        long[] prompt = expected.ReadInt64("input_ids"), greedy = expected.ReadInt64("greedy_ids");
        int length = (int)expected.Tensors["input_ids"].Shape[1];
        ToolProcess run = ToolProcess.LongCat(
            "generate", onnx, "--ids", string.Join(',', prompt.Take(length)), "--max-new-tokens", "16", "--temperature", "0", "--ignore-eos", "--json");
        Succeeds(run);
        using JsonDocument document = JsonDocument.Parse(run.Output);
        Assert.Equal(greedy.Take(16), document.RootElement.GetProperty("ids").EnumerateArray().Select(id => id.GetInt64()));
    }

    private static void Succeeds(ToolProcess run) => Assert.True(run.ExitCode == 0, run.Error);
}

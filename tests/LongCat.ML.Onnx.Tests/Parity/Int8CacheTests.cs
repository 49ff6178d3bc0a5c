using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.TestShared;
using Xunit.Abstractions;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx.Tests;

/// <summary>Exports with int8 caches: what graph and manifest say of them, and the logits against double-precision references that round what is cached in the same way.</summary>
[Collection(KernelPath.Collection)]
public sealed class Int8CacheTests(ITestOutputHelper output) : IDisposable
{
    // A value so near to the middle of two integers that float32 and double round it apart moves by 1/127 of its row's largest; that, and an expert chosen otherwise for it, moves the
    // logits of this token and of later ones. A few such values are to be expected among thousands, so the rows of most tokens must agree as those of float caches do.
    private const double Tolerance = Golden.LogitsTolerance;
    private const double OtherRows = 0.5;

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, string> Cases
    {
        get
        {
            TheoryData<string, string> cases = [];
            foreach (string model in (string[])["longcat", "LlamaForCausalLM", "Qwen3MoeForCausalLM"])
            {
                foreach (string kernel in KernelPath.Supported)
                {
                    cases.Add(model, kernel);
                }
            }

            return cases;
        }
    }

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(WeightPrecision.F32)]
    [InlineData(WeightPrecision.BF16)]
    public void Caches_are_bytes_of_values_and_scales(WeightPrecision precision)
    {
        RandomCheckpoint.Write(_folder["latent"], new RandomCheckpointOptions { Mtp = true });
        ModelManifest latent = Export("latent", precision).Manifest;
        Assert.Equal(CacheType.Int8, latent.CacheType);
        Assert.Equal([new CacheLayout(24 + 8), new CacheLayout(24 + 8)], latent.Caches);
        Assert.Equal([new CacheLayout(24 + 8)], latent.DraftCaches!);
        CheckCaches("latent", "model.onnx", 32);
        CheckCaches("latent", "draft.onnx", 32);

        RandomDecoder.Write(_folder["decoder"]);
        Assert.Equal([new CacheLayout(48 + 16), new CacheLayout(48 + 16)], Export("decoder", precision).Manifest.Caches);
        CheckCaches("decoder", "model.onnx", 64);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void The_logits_are_those_of_rounded_caches(string model, string kernel)
    {
        if (model == "longcat")
        {
            RandomCheckpoint.Write(_folder["in"], new RandomCheckpointOptions { Layers = 2 });
        }
        else
        {
            RandomDecoder.Write(_folder["in"], new RandomDecoderOptions { Architecture = model });
        }

        ConfigEditor editor = ConfigEditor.Load(_folder["in"]);
        editor.SetStreaming(new StreamingAttentionConfig { BlockSize = 4, LocalBlocks = 2, AttentionLayers = [1] });
        editor.Save(_folder["in"]);
        Export("in", WeightPrecision.F32);
        using GraphRunner runner = new(_folder["in-onnx"], kernel);
        List<double> whole = [], chunks = [], plain = [];
        for (int seed = 1; seed <= 3; seed++)
        {
            Random random = new(seed);
            long[] prompt = [.. Enumerable.Range(0, 30).Select(_ => (long)random.Next(3, 272))];
            float[] expected = Reference(model, prompt, Rounded);
            whole.AddRange(Distances(expected, runner.Run(new RunnerChunk(new RunnerSequence(), prompt)).Logits, runner.VocabSize));
            RunnerSequence chunked = new();
            List<float> logits = [];
            foreach (int length in (int[])[14, 1, 1, 9, 5])
            {
                logits.AddRange(runner.Run(new RunnerChunk(chunked, prompt.AsSpan(chunked.Length, length).ToArray())).Logits);
            }

            chunks.AddRange(Distances(expected, [.. logits], runner.VocabSize));
            plain.AddRange(Distances(expected, Reference(model, prompt, null), runner.VocabSize));
        }

        Check("whole", whole);
        Check("chunks", chunks);

        // What the rounding does at all, so that the test can fail.
        Assert.True(plain.Order().ElementAt(plain.Count / 2) > 20 * Tolerance, $"rounding moves the median row by {plain.Order().ElementAt(plain.Count / 2):E2} only");
    }

    private float[] Reference(string model, long[] prompt, Func<double[], double[]>? cached)
    {
        if (model == "longcat")
        {
            using Checkpoint checkpoint = Checkpoint.Open(_folder["in"]);
            return [.. new DoubleReference(checkpoint, cached: cached).Run(prompt).Logits.SelectMany(row => row.Select(value => (float)value))];
        }

        using DecoderReference reference = new(_folder["in"], cached: cached);
        return reference.Run(prompt).Logits;
    }

    /// <summary>A row as 127 levels of its largest magnitude, ties to even.</summary>
    private static double[] Rounded(double[] row)
    {
        double largest = row.Max(Math.Abs);
        return [.. row.Select(value => Math.Round(value * (127 / largest)) * (largest / 127))];
    }

    private ExportResult Export(string folder, WeightPrecision precision) =>
        OnnxExporter.Export(_folder[folder], _folder[$"{folder}-onnx"], new ExportOptions { Precision = precision, CacheType = CacheType.Int8 });

    private void CheckCaches(string folder, string graph, int width)
    {
        ModelProto model = ModelProto.Parser.ParseFrom(File.ReadAllBytes(Path.Combine(_folder[$"{folder}-onnx"], graph)));
        ValueInfoProto[] caches = [.. model.Graph.Input.Concat(model.Graph.Output).Where(value => value.Name.StartsWith("cache", StringComparison.Ordinal))];
        Assert.NotEmpty(caches);
        Assert.All(caches, cache => Assert.Equal(((int)ElementType.Uint8, (long)width), (cache.Type.TensorType.ElemType, cache.Type.TensorType.Shape.Dim[2].DimValue)));
    }

    /// <summary>The largest difference of each row.</summary>
    private static IEnumerable<double> Distances(float[] expected, float[] actual, int width)
    {
        Assert.Equal(expected.Length, actual.Length);
        Assert.All(actual, value => Assert.True(float.IsFinite(value)));
        return expected.Chunk(width).Zip(actual.Chunk(width), (e, a) => e.Zip(a, (x, y) => Math.Abs((double)x - y)).Max());
    }

    private void Check(string what, List<double> distances)
    {
        int near = distances.Count(distance => distance <= Tolerance);
        output.WriteLine($"{what}: {near} of {distances.Count} rows within {Tolerance:E0}, the median {distances.Order().ElementAt(distances.Count / 2):E2}, the worst {distances.Max():E2}");
        Assert.True(near >= 0.6 * distances.Count && distances.Max() < OtherRows, $"{what}: only {near} of {distances.Count} rows within {Tolerance:E0}, the worst {distances.Max():E2} (at most {OtherRows})");
    }
}

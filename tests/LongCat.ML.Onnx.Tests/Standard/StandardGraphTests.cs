using System.Globalization;
using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.TestShared;
using Microsoft.ML.OnnxRuntime;
using Xunit.Abstractions;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx.Tests;

/// <summary>What a standard export promises about its files, and that it computes what the longcat operators compute where no golden data is.</summary>
[Collection(KernelPath.Collection)]
public sealed class StandardGraphTests(ITestOutputHelper output) : IDisposable
{
    private static readonly ExportOptions Standard = new() { Operators = OperatorSet.Standard };

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_graph_has_the_padded_layout_and_no_operator_of_this_project()
    {
        ExportResult result = Export(new RandomCheckpointOptions { Layers = 1, Mtp = true }, Standard);
        ModelProto model = ModelProto.Parser.ParseFrom(File.ReadAllBytes(Path.Combine(result.Folder, ModelManifest.ModelFileName)));

        Assert.Equal(["=21", "com.microsoft=1"], model.OpsetImport.Select(opset => $"{opset.Domain}={opset.Version}"));
        Assert.DoesNotContain(model.Graph.Node, node => node.Domain == GraphBuilder.LongCatDomain);
        Assert.Equal(
            ["input_ids", "attention_mask", "position_ids", "logits_from", "ngram_context", "past_key_values.0.key", "past_key_values.1.key"],
            model.Graph.Input.Select(input => input.Name));
        Assert.Equal(["logits", "hidden_states", "present.0.key", "present.1.key"], model.Graph.Output.Select(value => value.Name));
        Assert.Contains(model.Graph.Initializer, initializer => initializer.Name == "logits_from");
        ModelManifest manifest = ModelManifest.Read(result.Folder);
        Assert.Equal(OperatorSet.Standard, manifest.Operators);
        Assert.Equal(WeightPrecision.F32, manifest.Precision);
        Assert.False(manifest.HasDraft);
        Assert.False(File.Exists(Path.Combine(result.Folder, ModelManifest.DraftFileName)));
        Assert.Equal(2, manifest.Caches.Count);
    }

    [Fact]
    public void What_standard_operators_cannot_do_is_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Export(new RandomCheckpointOptions(), Standard with { Precision = WeightPrecision.BF16 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => Export(new RandomCheckpointOptions(), Standard with { CacheType = CacheType.BFloat16 }));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    public void Both_sets_of_operators_give_the_same_logits(int seed)
    {
        RandomCheckpointOptions options = new()
        {
            Seed = seed,
            NGram = seed != 3,
            OverEncodingNames = seed == 5,
            Yarn = seed % 2 == 0,
            UnequalMScale = seed == 4,
            DropZeroExperts = seed == 2,
            ZeroExperts = seed == 1 ? 0 : 4,
            TopK = seed == 1 ? 2 : 3,
            BFloat16 = seed > 3,
            Layers = 1 + (seed % 2),
        };
        string longcat = Export(options, new ExportOptions { Precision = WeightPrecision.F32 }).Folder;
        string standard = Export(options, Standard).Folder;
        Random random = new(seed);
        long[] prompt = [.. Enumerable.Range(0, 40).Select(i => i % 11 == 7 ? (long)RandomCheckpoint.EosTokenId : random.Next(0, options.VocabSize))];
        using GraphRunner expected = new(longcat, KernelPath.Supported[0]);
        using PaddedGraphRunner actual = new(standard, 2);
        float[] logits = expected.Run(new RunnerChunk(new RunnerSequence(), prompt)).Logits;
        int v = expected.VocabSize;

        // Padded beside a shorter row, then in a chunk, then token by token.
        float[] first = actual.Run([prompt[..20], prompt[..3]])[0];
        float[] second = actual.Run([prompt[20..35], prompt[3..5]])[0];
        float[] rest = [.. Enumerable.Range(35, 5).SelectMany(i => actual.Run([[prompt[i]], [prompt[i - 30]]])[0])];

        float[] all = [.. first, .. second, .. rest];
        Assert.Equal(40 * v, all.Length);

        // Different kernels over the same weights: float32 rounding, as against the golden values. Logits reach about 4.
        double worst = logits.Zip(all, (x, y) => Math.Abs((double)x - y)).Max();
        output.WriteLine($"seed {seed}: largest difference {worst:E2}, limit {Golden.LogitsTolerance:E0}");
        Assert.True(worst <= Golden.LogitsTolerance);
    }

    [GoldenTheory]
    [InlineData("lite")]
    [InlineData("two")]
    [InlineData("toy")]
    public void NGram_ids_are_exact_in_64_bits(string name)
    {
        using Golden golden = new(output, "ngram-ids", "golden.safetensors");
        using JsonDocument cases = JsonDocument.Parse(File.ReadAllText(GoldenFixtures.Path("ngram-ids", "cases.json")));
        JsonElement parameters = cases.RootElement.GetProperty(name);
        int neighbors = parameters.GetProperty("emb_neighbor_num").GetInt32();
        NGramConfig ngram = new()
        {
            HashVocabSize = parameters.GetProperty("vocab_size").GetInt32(),
            VocabSizeRatio = parameters.GetProperty("ngram_vocab_size_ratio").GetDouble(),
            NeighborNum = neighbors,
            SplitNum = parameters.GetProperty("emb_split_num").GetInt32(),
            TableWidth = 1,
        };
        Assert.Equal(golden.Longs($"{name}.table_rows"), ngram.TableRows);
        using OneNodeModel model = new(graph =>
        {
            Value tokens = graph.Input("input_ids", ElementType.Int64, "batch", "sequence");
            Value context = graph.Input("ngram_context", ElementType.Int64, "batch", neighbors - 1);
            graph.Output(NGramIds.Emit(graph, tokens, context, ngram, parameters.GetProperty("eos_token_id").GetInt32()), ElementType.Int64, "batch", "sequence", ngram.TableCount);
        });
        long[][] sequences = golden.Rows($"{name}.tokens");
        int length = sequences[0].Length;

        // The last tokens again as a step of their own, after the context that the earlier ones leave.
        int cut = length - 2;
        long[] whole = Ids(model, sequences, [.. sequences.Select(_ => Enumerable.Repeat(-1L, neighbors - 1).ToArray())]);
        long[] step = Ids(model, [.. sequences.Select(row => row[cut..])], [.. sequences.Select(row => Enumerable.Range(cut - neighbors + 1, neighbors - 1).Select(i => i < 0 ? -1 : row[i]).ToArray())]);

        Assert.Equal(golden.Longs($"{name}.ids"), whole);
        Assert.Equal(whole.Chunk(length * ngram.TableCount).SelectMany(row => row[(cut * ngram.TableCount)..]), step);
        output.WriteLine($"{name}: {whole.Length} ids equal, the largest {whole.Max().ToString(CultureInfo.InvariantCulture)}");
    }

    private static long[] Ids(OneNodeModel model, long[][] tokens, long[][] contexts)
    {
        using OrtValue ids = OrtValue.CreateTensorValueFromMemory(tokens.SelectMany(x => x).ToArray(), [tokens.Length, tokens[0].Length]);
        using OrtValue context = OrtValue.CreateTensorValueFromMemory(contexts.SelectMany(x => x).ToArray(), [contexts.Length, contexts[0].Length]);
        using IDisposableReadOnlyCollection<OrtValue> outputs = model.Run(("input_ids", ids), ("ngram_context", context));
        return outputs[0].GetTensorDataAsSpan<long>().ToArray();
    }

    private ExportResult Export(RandomCheckpointOptions checkpoint, ExportOptions options)
    {
        string source = _folder[$"checkpoint-{checkpoint.GetHashCode()}"];
        if (!Directory.Exists(source))
        {
            RandomCheckpoint.Write(source, checkpoint);
        }

        return OnnxExporter.Export(source, $"{source}-{options.Operators}-{options.Precision}", options);
    }
}

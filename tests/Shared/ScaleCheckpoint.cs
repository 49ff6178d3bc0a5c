using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Text.Json.Nodes;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.TestShared;

/// <summary>
/// A checkpoint in the shape of LongCat-Flash-Lite (twelve n-gram tables with half of the parameters, a third of the experts zero) and of any size: bfloat16, several
/// shards, every weight drawn. Written as a stream, about as fast as the disk takes it.
/// </summary>
internal static class ScaleCheckpoint
{
    private const int PieceBytes = 4 << 20;

    /// <summary>Writes config.json, the shards and their index.</summary>
    /// <param name="folder">The folder to create.</param>
    /// <param name="gigabytes">About how many bytes of weights, in 10^9; at least 0.2.</param>
    /// <param name="shards">In how many files.</param>
    public static void Write(string folder, double gigabytes, int shards)
    {
        RandomCheckpointOptions options = Shape(gigabytes);
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "config.json"), RandomCheckpoint.Config(options).ToJsonString());
        IReadOnlyList<ExpectedTensor> tensors = ModelConfig.Load(folder).ExpectedTensors(withMtp: false);
        long perShard = (tensors.Sum(tensor => tensor.ElementCount) / shards) + 1, elements = 0;
        JsonObject map = [];
        foreach (IGrouping<long, ExpectedTensor> shard in tensors.GroupBy(tensor => (elements += tensor.ElementCount) / perShard).ToArray())
        {
            string name = $"model-{shard.Key + 1:00000}-of-{shards:00000}.safetensors";
            using SafetensorsWriter writer = SafetensorsWriter.Create(Path.Combine(folder, name), shard.Select(Declare), new Dictionary<string, string> { ["format"] = "pt" });
            foreach (ExpectedTensor tensor in shard)
            {
                map[tensor.Name] = name;
                WriteRandom(writer, tensor, seed: (ulong)map.Count);
            }

            writer.Complete();
        }

        File.WriteAllText(Path.Combine(folder, "model.safetensors.index.json"), new JsonObject { ["weight_map"] = map }.ToJsonString());
    }

    /// <summary>The number of experts is the measure of size; the tables get as many parameters as all the rest.</summary>
    private static RandomCheckpointOptions Shape(double gigabytes)
    {
        bool large = gigabytes >= 2;
        RandomCheckpointOptions options = new()
        {
            VocabSize = large ? 32768 : 8192, HiddenSize = large ? 1536 : 384, Layers = large ? 8 : 4, Heads = large ? 16 : 4, LatentRank = large ? 384 : 96, HeadDim = 64, RopeDim = 32,
            FfnSize = large ? 3072 : 768, ExpertSize = large ? 512 : 128, TopK = 12, MaxPositions = 4096, NeighborNum = 4, SplitNum = 4, BFloat16 = true,
        };
        long expert = 3L * options.Layers * options.HiddenSize * options.ExpertSize, half = (long)(gigabytes * 1e9 / 4);
        long others = Parameters(options with { Experts = 16, ZeroExperts = 8, NGramRatio = 1 }) - (16 * expert) - ((long)options.VocabSize * options.HiddenSize);
        int experts = (int)Math.Max(16, (half - others) / expert / 2 * 2);
        return options with { Experts = experts, ZeroExperts = experts / 2, NGramRatio = (double)half / options.HiddenSize / options.VocabSize };
    }

    private static long Parameters(RandomCheckpointOptions options) =>
        ModelConfig.Parse(RandomCheckpoint.Config(options).ToJsonString()).ExpectedTensors(withMtp: false).Sum(tensor => tensor.ElementCount);

    private static TensorDeclaration Declare(ExpectedTensor tensor) =>
        new(tensor.Name, tensor.Group == TensorGroup.Router ? TensorType.Float32 : TensorType.BFloat16, tensor.Shape);

    private static void WriteRandom(SafetensorsWriter writer, ExpectedTensor tensor, ulong seed)
    {
        if (tensor.Shape.Count == 1 || tensor.Group == TensorGroup.Router)
        {
            Random random = new((int)seed);
            bool norm = tensor.Name.Contains("norm", StringComparison.Ordinal);
            writer.Write(tensor.Name, Enumerable.Range(0, (int)tensor.ElementCount).Select(_ => (norm ? 1 : 0) + ((random.NextSingle() - 0.5f) / 10)).ToArray());
            return;
        }

        // A number is at most twice the width's inverse root, words and table rows about 1: values stay finite through all layers.
        bool table = tensor.Name.Contains("embed", StringComparison.Ordinal) && !tensor.Name.Contains("proj", StringComparison.Ordinal);
        float largest = table ? 1 : 1 / MathF.Sqrt(tensor.Shape[^1]);
        ushort magnitude = (ushort)((BitConverter.SingleToUInt32Bits(largest) >> 16) & 0x7F00);
        using Stream stream = writer.OpenTensor(tensor.Name);
        ulong[] piece = new ulong[PieceBytes / sizeof(ulong)];
        for (long left = tensor.ElementCount * sizeof(ushort), counter = 0; left > 0; counter += piece.Length)
        {
            Fill(piece, seed << 40 | (ulong)counter, magnitude);
            int count = (int)Math.Min(left, PieceBytes);
            stream.Write(MemoryMarshal.AsBytes<ulong>(piece)[..count]);
            left -= count;
        }
    }

    /// <summary>Numbered draws (the finalizer of SplitMix64) as four bfloat16 each: sign, lowest bit of the exponent and mantissa are random.</summary>
    private static void Fill(Span<ulong> piece, ulong first, ushort magnitude)
    {
        Vector512<ulong> keep = Vector512.Create(0x80FF_80FF_80FF_80FFUL), set = Vector512.Create(magnitude * 0x0001_0001_0001_0001UL);
        Vector512<ulong> index = Vector512.Create(first) + Vector512<ulong>.Indices;
        for (int i = 0; i < piece.Length; i += Vector512<ulong>.Count)
        {
            Vector512<ulong> bits = index * 0x9E3779B97F4A7C15UL;
            bits = (bits ^ (bits >>> 30)) * 0xBF58476D1CE4E5B9UL;
            bits = (bits ^ (bits >>> 27)) * 0x94D049BB133111EBUL;
            (((bits ^ (bits >>> 31)) & keep) | set).CopyTo(piece[i..]);
            index += Vector512.Create((ulong)Vector512<ulong>.Count);
        }
    }
}

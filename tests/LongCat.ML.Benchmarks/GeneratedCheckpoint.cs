using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Benchmarks;

/// <summary>
/// Writes a checkpoint of random bfloat16 weights as fast as the disk takes it. Every weight is its own draw: matrices of equal content would be read from a
/// cache and flatter every figure.
/// </summary>
internal static class GeneratedCheckpoint
{
    private const int BlockElements = 1 << 18;

    /// <summary>Writes config.json, model.safetensors and a byte-level tokenizer.json, unless the folder holds this very config with its weights.</summary>
    public static void Write(string folder, JsonObject config)
    {
        string file = Path.Combine(folder, "config.json"), weights = Path.Combine(folder, "model.safetensors");
        string text = config.ToJsonString();
        if (File.Exists(weights) && File.Exists(file) && File.ReadAllText(file) == text)
        {
            return;
        }

        Directory.CreateDirectory(folder);
        File.Delete(weights);
        File.WriteAllText(file, text);
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), Tokenizer((int)config["vocab_size"]!).ToJsonString());
        IReadOnlyList<ExpectedTensor> tensors = ModelConfig.Load(folder).ExpectedTensors(withMtp: false);
        using SafetensorsWriter writer = SafetensorsWriter.Create(weights, tensors.Select(tensor => new TensorDeclaration(tensor.Name, TensorType.BFloat16, tensor.Shape)));
        ulong state = 0x9E3779B97F4A7C15;
        ushort[] block = new ushort[BlockElements];
        foreach (ExpectedTensor tensor in tensors)
        {
            (float center, float width) = Range(tensor);
            using Stream stream = writer.OpenTensor(tensor.Name);
            for (long left = tensor.ElementCount; left > 0; left -= block.Length)
            {
                Span<ushort> part = block.AsSpan(0, (int)Math.Min(left, block.Length));
                Fill(part, center, width, ref state);
                stream.Write(MemoryMarshal.AsBytes(part));
            }
        }

        writer.Complete();
    }

    /// <summary>Norms about 1, matrices such that a unit input gives a unit output, tables of unit rows; uniform around the centre.</summary>
    private static (float Center, float Width) Range(ExpectedTensor tensor)
    {
        bool table = tensor.Name.Contains("embed", StringComparison.Ordinal) && !tensor.Name.Contains("proj", StringComparison.Ordinal);
        return tensor.Shape.Count == 1
            ? tensor.Name.Contains("norm", StringComparison.Ordinal) ? (1f, 0.1f) : (0f, 0.02f)
            : (0f, (float)Math.Sqrt(3.0 / (table ? 1 : tensor.Shape[^1])));
    }

    private static void Fill(Span<ushort> values, float center, float width, ref ulong state)
    {
        ulong s = state;
        float scale = width / (1 << 30) / 2;
        for (int i = 0; i < values.Length; i++)
        {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            values[i] = (ushort)(BitConverter.SingleToUInt32Bits(center + ((int)(s >> 32) * scale)) >> 16);
        }

        state = s;
    }

    /// <summary>Every byte is a token, and the rest of the vocabulary words that no text contains.</summary>
    private static JsonObject Tokenizer(int vocabSize)
    {
        JsonObject vocabulary = new() { ["<unk>"] = 0, ["<s>"] = 1, ["</s>"] = 2 };
        JsonArray added = [.. vocabulary.Select(token => new JsonObject
        {
            ["id"] = (int)token.Value!, ["content"] = token.Key, ["single_word"] = false, ["lstrip"] = false, ["rstrip"] = false, ["normalized"] = false, ["special"] = true,
        })];
        int next = 0x100, id = vocabulary.Count;
        for (int value = 0; value < 256; value++)
        {
            bool printable = value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
            vocabulary[((char)(printable ? value : next++)).ToString()] = id++;
        }

        while (id < vocabSize)
        {
            vocabulary[$"token{id}"] = id++;
        }

        JsonObject byteLevel = new() { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true, ["use_regex"] = true };
        return new JsonObject
        {
            ["version"] = "1.0",
            ["added_tokens"] = added,
            ["normalizer"] = null,
            ["pre_tokenizer"] = byteLevel,
            ["post_processor"] = null,
            ["decoder"] = byteLevel.DeepClone(),
            ["model"] = new JsonObject { ["type"] = "BPE", ["vocab"] = vocabulary, ["merges"] = new JsonArray() },
        };
    }
}

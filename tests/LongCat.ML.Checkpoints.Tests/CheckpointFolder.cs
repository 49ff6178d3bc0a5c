using System.Buffers.Binary;
using System.Text;

namespace LongCat.ML.Checkpoints.Tests;

/// <summary>A folder of its own for one test, removed afterwards, and the files a checkpoint test writes into it.</summary>
internal sealed class CheckpointFolder : IDisposable
{
    public const string FlashConfig = """
        {"architectures": ["LongcatFlashForCausalLM"], "vocab_size": 32, "hidden_size": 16, "num_layers": 1, "num_attention_heads": 2,
         "q_lora_rank": 8, "kv_lora_rank": 6, "qk_nope_head_dim": 4, "qk_rope_head_dim": 4, "v_head_dim": 4, "ffn_hidden_size": 12,
         "expert_ffn_hidden_size": 8, "n_routed_experts": 2, "zero_expert_num": 1, "moe_topk": 2, "routed_scaling_factor": 1.5,
         "rope_theta": 10000.0, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2}
        """;

    public CheckpointFolder() => Path = Directory.CreateTempSubdirectory("longcat-checkpoint-").FullName;

    public string Path { get; }

    public string File(string name) => System.IO.Path.Combine(Path, name);

    public string Write(string name, string text)
    {
        System.IO.File.WriteAllText(File(name), text);
        return File(name);
    }

    public string Write(string name, byte[] bytes)
    {
        System.IO.File.WriteAllBytes(File(name), bytes);
        return File(name);
    }

    /// <summary>A safetensors file from a header's text and the bytes after it, well-formed or not.</summary>
    public string WriteSafetensors(string name, string header, int dataLength) => Write(name, Safetensors(header, new byte[dataLength]));

    public static byte[] Safetensors(string header, byte[] data)
    {
        byte[] json = Encoding.UTF8.GetBytes(header);
        byte[] file = new byte[8 + json.Length + data.Length];
        BinaryPrimitives.WriteUInt64LittleEndian(file, (ulong)json.Length);
        json.CopyTo(file, 8);
        data.CopyTo(file, 8 + json.Length);
        return file;
    }

    /// <summary>A well-formed file of float32 tensors with random values.</summary>
    public string WriteTensors(string name, IEnumerable<TensorDeclaration> tensors, int seed = 1)
    {
        Random random = new(seed);
        TensorDeclaration[] all = [.. tensors];
        using SafetensorsWriter writer = SafetensorsWriter.Create(File(name), all);
        foreach (TensorDeclaration tensor in all)
        {
            float[] values = new float[writer.Tensors[tensor.Name].ElementCount];
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = random.NextSingle() - 0.5f;
            }

            writer.Write(tensor.Name, values);
        }

        writer.Complete();
        return File(name);
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}

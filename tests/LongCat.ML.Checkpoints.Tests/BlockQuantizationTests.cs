using System.Runtime.InteropServices;
using System.Text.Json.Nodes;

namespace LongCat.ML.Checkpoints.Tests;

/// <summary>F8_E4M3 weights with 128×128 block scales.</summary>
public sealed class BlockQuantizationTests : IDisposable
{
    private const string Name = "model.layers.0.mlps.0.gate_proj.weight";
    private const int Rows = 200;
    private const int Columns = 300;

    private readonly CheckpointFolder folder = new();
    private readonly byte[] codes = new byte[Rows * Columns];
    private readonly float[] scales = [0.5f, 2f, 0.25f, 3f, 1f, 0.125f];

    public BlockQuantizationTests()
    {
        JsonObject config = JsonNode.Parse(CheckpointFolder.FlashConfig)!.AsObject();
        config["quantization_config"] = JsonNode.Parse("""{"quant_method":"fp8","fmt":"e4m3","weight_block_size":[128,128]}""");
        folder.Write("config.json", config.ToJsonString());
        new Random(7).NextBytes(codes);
        for (int i = 0; i < codes.Length; i++)
        {
            codes[i] &= (codes[i] & 0x7F) == 0x7F ? (byte)0xFE : (byte)0xFF;
        }
    }

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Codes_are_multiplied_by_the_scale_of_their_block()
    {
        WriteWeights([2, 3], scales);
        using Checkpoint checkpoint = Checkpoint.Open(folder.Path);
        float[] expected = Expected();
        Assert.Equal(expected, checkpoint.ReadFloat32(Name));

        // Any piece, also one that begins and ends inside blocks.
        Random random = new(9);
        for (int n = 0; n < 50; n++)
        {
            int first = random.Next(expected.Length);
            float[] piece = new float[random.Next(expected.Length - first)];
            checkpoint.ReadFloat32(Name, first, piece);
            Assert.Equal(expected.AsSpan(first, piece.Length).ToArray(), piece);
        }

        using MemoryStream stream = new();
        checkpoint.CopyTo(Name, TensorType.Float32, stream);
        Assert.Equal(MemoryMarshal.AsBytes<float>(expected).ToArray(), stream.ToArray());

        ushort[] halves = new ushort[expected.Length];
        TensorConversion.NarrowToBFloat16(expected, halves);
        stream.SetLength(0);
        checkpoint.CopyTo(Name, TensorType.BFloat16, stream);
        Assert.Equal(MemoryMarshal.AsBytes<ushort>(halves).ToArray(), stream.ToArray());

        stream.SetLength(0);
        checkpoint.CopyTo(Name, TensorType.Float8E4M3, stream);
        Assert.Equal(codes, stream.ToArray());
        Assert.Throws<ArgumentException>(() => checkpoint.CopyTo(Name, TensorType.Float16, stream));
    }

    [Fact]
    public void Missing_or_misshapen_scales_are_refused()
    {
        WriteWeights([2, 2], scales[..4]);
        using (Checkpoint checkpoint = Checkpoint.Open(folder.Path))
        {
            CheckpointException e = Assert.Throws<CheckpointException>(() => checkpoint.ReadFloat32(Name));
            Assert.Contains("shape [2, 2], expected [2, 3]", e.Message);
            e = Assert.Throws<CheckpointException>(() => checkpoint.Validate([new ExpectedTensor(Name, [Rows, Columns], TensorGroup.Dense)]));
            Assert.Contains("0 missing, 0 extra, 1 with the wrong shape", e.Message);
        }

        WriteWeights(null, []);
        using (Checkpoint checkpoint = Checkpoint.Open(folder.Path))
        {
            CheckpointException e = Assert.Throws<CheckpointException>(() => checkpoint.ReadFloat32(Name));
            Assert.Contains($"its block scales {Name}_scale_inv are missing", e.Message);
        }
    }

    private float[] Expected()
    {
        float[] values = new float[codes.Length];
        for (int r = 0; r < Rows; r++)
        {
            for (int c = 0; c < Columns; c++)
            {
                values[(r * Columns) + c] = TensorConversion.Float8E4M3Values[codes[(r * Columns) + c]] * scales[(r / 128 * 3) + (c / 128)];
            }
        }

        return values;
    }

    private void WriteWeights(long[]? scaleShape, float[] values)
    {
        List<TensorDeclaration> tensors = [new(Name, TensorType.Float8E4M3, [Rows, Columns])];
        if (scaleShape is not null)
        {
            tensors.Add(new(Name + "_scale_inv", TensorType.Float32, scaleShape));
        }

        using SafetensorsWriter writer = SafetensorsWriter.Create(folder.File("model.safetensors"), tensors);
        writer.Write(Name, codes);
        if (scaleShape is not null)
        {
            writer.Write(Name + "_scale_inv", values);
        }

        writer.Complete();
    }
}

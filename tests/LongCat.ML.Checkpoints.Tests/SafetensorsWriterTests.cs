using System.Text;
using LongCat.ML.TestShared;

namespace LongCat.ML.Checkpoints.Tests;

/// <summary>What is written reads back, the bytes are reproducible, and nothing unfinished appears under the final name.</summary>
public sealed class SafetensorsWriterTests : IDisposable
{
    private readonly CheckpointFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Every_type_reads_back_byte_for_byte()
    {
        TensorDeclaration[] tensors = [.. Enum.GetValues<TensorType>().Select(t => new TensorDeclaration($"t.{t}", t, [3, 5]))];
        Random random = new(3);
        Dictionary<string, byte[]> contents = [];
        string file = folder.File("all.safetensors");
        using (SafetensorsWriter writer = SafetensorsWriter.Create(file, tensors, new Dictionary<string, string> { ["format"] = "pt", ["a"] = "é\"\n" }))
        {
            foreach (TensorDeclaration tensor in tensors)
            {
                byte[] bytes = new byte[15 * tensor.Type.ElementSize()];
                random.NextBytes(bytes);
                contents[tensor.Name] = bytes;
                writer.Write(tensor.Name, bytes);
            }

            writer.Complete();
        }

        using SafetensorsFile read = SafetensorsFile.Open(file);
        Assert.Equal("pt", read.Metadata["format"]);
        Assert.Equal("é\"\n", read.Metadata["a"]);
        Assert.Equal(tensors.Length, read.Tensors.Count);
        foreach (TensorDeclaration tensor in tensors)
        {
            TensorEntry entry = read.Entry(tensor.Name);
            Assert.Equal(tensor.Type, entry.Type);
            Assert.Equal([3, 5], entry.Shape);
            Assert.Equal(0, entry.Offset % entry.Type.ElementSize());
            Assert.Equal(contents[tensor.Name], read.GetBytes(tensor.Name).ToArray());
        }
    }

    [Fact]
    public void The_bytes_do_not_depend_on_the_order_of_declaring_and_writing()
    {
        TensorDeclaration[] tensors = [new("b", TensorType.Float32, [2]), new("a", TensorType.Float32, [3]), new("c", TensorType.BFloat16, [5]), new("d", TensorType.Int64, [1])];
        byte[] first = WriteAll(tensors, tensors, new() { ["x"] = "1", ["y"] = "2" });
        byte[] second = WriteAll([.. tensors.Reverse()], [.. tensors.OrderBy(t => t.Name)], new() { ["y"] = "2", ["x"] = "1" });
        Assert.Equal(first, second);
        Assert.StartsWith("{\"__metadata__\":{\"x\":\"1\",\"y\":\"2\"},\"d\":", Encoding.UTF8.GetString(first, 8, 60));
    }

    [GoldenTheory]
    [InlineData("longcat-flash")]
    [InlineData("longcat-lite")]
    [InlineData("llama")]
    public void A_published_file_of_one_type_is_rewritten_byte_for_byte(string name)
    {
        string original = GoldenFixtures.Path(name, "model.safetensors");
        string file = folder.File("again.safetensors");
        using (SafetensorsFile read = SafetensorsFile.Open(original))
        using (SafetensorsWriter writer = SafetensorsWriter.Create(file, read.Tensors.Values.Select(t => new TensorDeclaration(t.Name, t.Type, t.Shape)), read.Metadata))
        {
            foreach (string tensor in read.Tensors.Keys)
            {
                writer.Write(tensor, read.GetBytes(tensor));
            }

            writer.Complete();
        }

        Assert.Equal(File.ReadAllBytes(original), File.ReadAllBytes(file));
    }

    [Fact]
    public void A_tensor_is_streamed_in_pieces()
    {
        string file = folder.File("s.safetensors");
        float[] values = [.. Enumerable.Range(0, 1000).Select(i => i * 0.37f)];
        using (SafetensorsWriter writer = SafetensorsWriter.Create(file, [new("w", TensorType.Float32, [10, 100])]))
        {
            using (Stream stream = writer.OpenTensor("w"))
            {
                foreach (float value in values)
                {
                    stream.Write(BitConverter.GetBytes(value));
                }

                Assert.Throws<InvalidOperationException>(() => stream.Write([1]));
            }

            writer.Complete();
        }

        using SafetensorsFile read = SafetensorsFile.Open(file);
        Assert.Equal(values, read.ReadFloat32("w"));
    }

    [Fact]
    public void Nothing_unfinished_appears_under_the_final_name_or_remains()
    {
        string file = folder.Write("x.safetensors", "the old content");
        using (SafetensorsWriter writer = SafetensorsWriter.Create(file, [new("w", TensorType.Float32, [4])]))
        {
            using (Stream stream = writer.OpenTensor("w"))
            {
                stream.Write(new byte[12]);
            }

            Assert.Contains("received 12 of 16 bytes", Assert.Throws<InvalidOperationException>(writer.Complete).Message);
        }

        Assert.Equal("the old content", File.ReadAllText(file));
        Assert.Equal([file], Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void A_file_that_is_open_can_be_replaced()
    {
        string file = folder.WriteTensors("x.safetensors", [new("w", TensorType.Float32, [4])], seed: 1);
        using SafetensorsFile old = SafetensorsFile.Open(file);
        float[] before = old.ReadFloat32("w");
        folder.WriteTensors("x.safetensors", [new("w", TensorType.Float32, [4])], seed: 2);
        Assert.Equal(before, old.ReadFloat32("w"));
        using SafetensorsFile replaced = SafetensorsFile.Open(file);
        Assert.NotEqual(before, replaced.ReadFloat32("w"));
    }

    [Fact]
    public void A_callers_mistakes_are_refused()
    {
        string file = folder.File("x.safetensors");
        Assert.Throws<ArgumentException>(() => SafetensorsWriter.Create(file, [new("w", TensorType.Float32, [4]), new("w", TensorType.Float32, [4])]));
        Assert.Throws<ArgumentException>(() => SafetensorsWriter.Create(file, [new("", TensorType.Float32, [4])]));
        Assert.Throws<ArgumentException>(() => SafetensorsWriter.Create(file, [new("__metadata__", TensorType.Float32, [4])]));
        Assert.Throws<ArgumentException>(() => SafetensorsWriter.Create(file, [new("w", TensorType.Float32, [-1])]));
        Assert.Throws<ArgumentException>(() => SafetensorsWriter.Create(file, [new("w", TensorType.Float32, [1L << 40, 1L << 40])]));
        Assert.Throws<CheckpointException>(() => SafetensorsWriter.Create(folder.File("none/x.safetensors"), [new("w", TensorType.Float32, [4])]));
        Assert.Throws<CheckpointException>(() => SafetensorsWriter.Create(file, [new("w", TensorType.Int8, [1L << 62])]));
        Assert.Empty(Directory.GetFiles(folder.Path));

        using SafetensorsWriter writer = SafetensorsWriter.Create(file, [new("w", TensorType.Float32, [4]), new("i", TensorType.Int32, [1])]);
        Assert.Throws<ArgumentException>(() => writer.Write("v", new float[4]));
        Assert.Throws<ArgumentException>(() => writer.Write("w", new float[3]));
        Assert.Throws<ArgumentException>(() => writer.Write("w", new byte[3]));
        Assert.Throws<ArgumentException>(() => writer.Write("i", new float[1]));
        writer.Write("w", new float[4]);
        Assert.Throws<InvalidOperationException>(() => writer.Write("w", new float[4]));
        writer.Write("i", new byte[4]);
        writer.Complete();
        Assert.Throws<ObjectDisposedException>(() => writer.Write("w", new float[4]));
    }

    private byte[] WriteAll(TensorDeclaration[] declared, TensorDeclaration[] written, Dictionary<string, string> metadata)
    {
        string file = folder.File("order.safetensors");
        using SafetensorsWriter writer = SafetensorsWriter.Create(file, declared, metadata);
        foreach (TensorDeclaration tensor in written)
        {
            byte[] bytes = new byte[writer.Tensors[tensor.Name].ByteLength];
            Array.Fill(bytes, (byte)tensor.Name[0]);
            writer.Write(tensor.Name, bytes);
        }

        writer.Complete();
        return File.ReadAllBytes(file);
    }
}

using System.Text;
using Xunit.Abstractions;

namespace LongCat.ML.Checkpoints.Tests;

/// <summary>The reader trusts nothing: every malformed file ends in one CheckpointException that names the fact.</summary>
public sealed class SafetensorsFileTests(ITestOutputHelper output) : IDisposable
{
    private const string A = """{"dtype":"F32","shape":[2],"data_offsets":[0,8]}""";

    private readonly CheckpointFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}""", 16, "tensor a: the header names it twice")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"\u0061":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}""", 16, "tensor a: the header names it twice")]
    [InlineData("""{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8, "gives dtype twice")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}""", 8, "gives shape twice")]
    [InlineData("""{"__metadata__":{},"__metadata__":{},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8, "__metadata__ twice")]
    [InlineData("""{"__metadata__":{"k":"1","k":"2"}}""", 0, "holds \"k\" twice")]
    [InlineData("""{"__metadata__":{"k":1}}""", 0, "expected a text")]
    [InlineData("""{"__metadata__":[]}""", 0, "expected an object of texts")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", 12, "tensor b: overlaps tensor a")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8, "overlaps tensor")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]}}""", 20, "data bytes 8 to 12 before it belong to no tensor")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", 12, "data bytes 0 to 4 before it")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 12, "describes 8 data bytes and 12 are present")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 7, "describes 8 data bytes and only 7 are present")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}""", 8, "begin not above end")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}""", 8, "expected begin and end")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}""", 8, "holds more than 2 numbers")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}""", 8, "shape [3] F32 needs 12 bytes, the offsets span 8")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}}""", 4, "more than 2^63 bytes")]
    [InlineData("""{"a":{"dtype":"I8","shape":[4294967296,4294967296,4294967296,4294967296,4294967296],"data_offsets":[0,0]}}""", 0, "more than 2^63 bytes")]
    [InlineData("""{"a":{"dtype":"I8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}}""", 0, "beyond any file")]
    [InlineData("""{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}""", 8, "no whole number from 0")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}}""", 8, "no whole number from 0")]
    [InlineData("""{"a":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}}""", 8, "no whole number from 0")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1e99],"data_offsets":[0,8]}}""", 8, "no whole number from 0")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}}""", 8, "more than 16 numbers")]
    [InlineData("""{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}""", 8, "dtype is \"F33\", expected one of F32")]
    [InlineData("""{"a":{"dtype":7,"shape":[2],"data_offsets":[0,8]}}""", 8, "dtype is a number")]
    [InlineData("""{"a":{"shape":[2],"data_offsets":[0,8]}}""", 8, "gives no dtype")]
    [InlineData("""{"a":{"dtype":"F32","data_offsets":[0,8]}}""", 8, "gives no shape")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2]}}""", 8, "gives no data_offsets")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}""", 8, "unknown key \"x\"")]
    [InlineData("""{"a":[]}""", 0, "expected an object with dtype, shape and data_offsets")]
    [InlineData("""{"":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8, "without a name")]
    [InlineData("""{"a":{"dtype":"F32","shape":[[[[[[2]]]]]],"data_offsets":[0,8]}}""", 8, "no whole number")]
    [InlineData("""{"a":{"dtype":{"x":{"x":{"x":1}}}}}""", 8, "dtype is an object")]
    [InlineData("""{"\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8, "not valid JSON")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} x""", 8, "not valid JSON")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}""", 8, "not valid JSON")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},}""", 8, "not valid JSON")]
    [InlineData("""[]""", 0, "begins with byte 0x5b")]
    [InlineData(""" {}""", 0, "begins with byte 0x20")]
    public void A_malformed_header_is_refused(string header, int dataLength, string fact)
    {
        string file = folder.WriteSafetensors("x.safetensors", header, dataLength);
        CheckpointException e = Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(file));
        output.WriteLine(e.Message);
        Assert.Contains(fact, e.Message);
        Assert.Equal(file, e.File);
    }

    [Theory]
    [InlineData(0, "0 bytes long")]
    [InlineData(7, "7 bytes long")]
    [InlineData(8, "0 bytes long, expected at least 2")]
    public void A_file_without_room_for_a_header_is_refused(int length, string fact)
    {
        string file = folder.Write("x.safetensors", new byte[length]);
        Assert.Contains(fact, Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(file)).Message);
    }

    [Theory]
    [InlineData(ulong.MaxValue)]
    [InlineData(1UL << 63)]
    [InlineData(1000UL)]
    public void An_announced_header_beyond_the_file_is_refused_before_it_is_allocated(ulong announced)
    {
        string file = folder.Write("x.safetensors", [.. BitConverter.GetBytes(announced), .. "{}"u8]);
        CheckpointException e = Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(file));
        Assert.Contains($"announce a header of {announced} bytes", e.Message);
    }

    [Fact]
    public void A_header_that_is_no_utf8_is_refused()
    {
        byte[] bytes = CheckpointFolder.Safetensors("{\"a?\":" + A + "}", new byte[8]);
        bytes[Array.IndexOf(bytes, (byte)'?')] = 0xff;
        string file = folder.Write("x.safetensors", bytes);
        Assert.Contains("not valid JSON", Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(file)).Message);
    }

    [Fact]
    public void A_missing_file_and_a_folder_are_refused()
    {
        Assert.Contains("does not exist", Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(folder.File("none"))).Message);
        Assert.Contains("cannot be read", Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(folder.Path)).Message);
    }

    [Fact]
    public void An_empty_file_of_tensors_and_empty_tensors_are_fine()
    {
        using SafetensorsFile none = SafetensorsFile.Open(folder.WriteSafetensors("none.safetensors", "{}", 0));
        Assert.Empty(none.Tensors);
        using SafetensorsFile empty = SafetensorsFile.Open(folder.WriteSafetensors("empty.safetensors",
            """{"a":{"dtype":"F32","shape":[0,4611686018427387904],"data_offsets":[0,0]},"b":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}   """, 4));
        Assert.Empty(empty.ReadFloat32("a"));
        Assert.Single(empty.ReadFloat32("b"));
    }

    [Fact]
    public void Names_from_the_file_are_printable_in_messages()
    {
        string file = folder.WriteSafetensors("x.safetensors", "{\"a\\u001b[31m" + new string('n', 500) + "\":7}", 0);
        CheckpointException e = Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(file));
        Assert.DoesNotContain('\u001b', e.Message);
        Assert.True(e.Message.Length < file.Length + 400);
        Assert.Contains('\u001b', e.Tensor!);
    }

    [Fact]
    public void A_closed_file_says_so_and_is_no_longer_mapped()
    {
        string file = folder.WriteSafetensors("x.safetensors", "{\"a\":" + A + "}", 8);
        SafetensorsFile open = SafetensorsFile.Open(file);
        if (OperatingSystem.IsLinux())
        {
            Assert.Contains(file, File.ReadAllText("/proc/self/maps"));
        }

        open.Dispose();
        open.Dispose();
        Assert.Throws<ObjectDisposedException>(() => open.GetBytes("a").Length);
        Assert.Throws<ObjectDisposedException>(() => open.ReadFloat32("a"));
        if (OperatingSystem.IsLinux())
        {
            Assert.DoesNotContain(file, File.ReadAllText("/proc/self/maps"));
        }
    }

    [Fact]
    public void Reading_checks_name_type_and_range()
    {
        using SafetensorsFile file = SafetensorsFile.Open(folder.WriteSafetensors("x.safetensors",
            """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"i":{"dtype":"I64","shape":[1],"data_offsets":[8,16]}}""", 16));
        Assert.Contains("not in the file", Assert.Throws<CheckpointException>(() => file.ReadFloat32("b")).Message);
        Assert.Contains("its type is I64", Assert.Throws<CheckpointException>(() => file.ReadFloat32("i")).Message);
        Assert.Contains("its type is F32", Assert.Throws<CheckpointException>(() => file.ReadInt64("a")).Message);
        Assert.Throws<ArgumentException>(() => file.ReadFloat32("a", 1, new float[2]));
        Assert.Throws<ArgumentException>(() => file.ReadFloat32("a", -1, new float[1]));
        Assert.Throws<ArgumentException>(() => file.ReadFloat32("a", long.MaxValue, new float[1]));
    }

    /// <summary>2,000 random damages: bytes, digits, cuts, insertions. Whatever opens must also read; nothing but CheckpointException may escape.</summary>
    [Fact]
    public void Random_damage_never_escapes_as_another_exception()
    {
        byte[] whole = File.ReadAllBytes(folder.WriteTensors("good.safetensors",
        [
            new("model.norm.weight", TensorType.Float32, [4]), new("lm_head.weight", TensorType.BFloat16, [3, 4]),
            new("bias", TensorType.Float32, []), new("empty", TensorType.BFloat16, [0, 5]),
        ]));
        int headerEnd = 8 + (int)BitConverter.ToUInt64(whole);
        Random random = new(20260101);
        int opened = 0;
        for (int round = 0; round < 2000; round++)
        {
            string file = folder.Write("damaged.safetensors", Damage(whole, headerEnd, random));
            try
            {
                using SafetensorsFile damaged = SafetensorsFile.Open(file);
                opened++;
                foreach (TensorEntry entry in damaged.Tensors.Values)
                {
                    Assert.Equal(entry.ByteLength, damaged.GetBytes(entry.Name).Length);
                    _ = entry.Type.IsFloatingPoint() ? damaged.ReadFloat32(entry.Name).Length : damaged.ReadInt64(entry.Name).Length;
                }
            }
            catch (CheckpointException)
            {
            }
        }

        output.WriteLine($"{opened} of 2000 damaged files were still well-formed");
        Assert.InRange(opened, 1, 1999);
    }

    private static byte[] Damage(byte[] whole, int headerEnd, Random random)
    {
        List<byte> bytes = [.. whole];
        for (int n = random.Next(1, 4); n > 0; n--)
        {
            int at = random.Next(bytes.Count == 0 ? 1 : Math.Min(bytes.Count, headerEnd));
            switch (random.Next(6))
            {
                case 0 when at < bytes.Count:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 1 when at < bytes.Count:
                    bytes[at] = Encoding.ASCII.GetBytes("0123456789-{}[],:\"eE")[random.Next(20)];
                    break;
                case 2 when at < bytes.Count:
                    bytes.RemoveRange(at, Math.Min(bytes.Count - at, random.Next(1, 9)));
                    break;
                case 3:
                    bytes.InsertRange(Math.Min(at, bytes.Count), bytes.GetRange(0, Math.Min(bytes.Count, random.Next(1, 40))));
                    break;
                case 4:
                    bytes.RemoveRange(random.Next(bytes.Count + 1) is var cut ? cut : 0, bytes.Count - cut);
                    break;
                default:
                    // A changed digit keeps the JSON valid and goes for the numbers.
                    int digit = bytes.FindIndex(at < bytes.Count ? at : 0, b => b is >= (byte)'0' and <= (byte)'9');
                    if (digit >= 8)
                    {
                        bytes[digit] = (byte)('0' + random.Next(10));
                    }

                    break;
            }
        }

        return [.. bytes];
    }
}

using System.Text;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Sessions;
using LongCat.ML.Onnx;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

/// <summary>Weights in pages of 2 MiB give the same outputs as weights in the mapping; where there are no such pages the engine runs and says why.</summary>
public sealed class WeightPagesTests(NanoModel model, ITestOutputHelper output) : IClassFixture<NanoModel>
{
    private static readonly EngineOptions s_huge = new() { WeightPages = WeightPages.Huge, MaxSequences = 4 };

    [Fact]
    public async Task Outputs_equal_those_of_mapped_weights_bit_for_bit()
    {
        int[] ids = [1, 300, 17, 42, 1000, 999, 5, 7];
        float[] expected;
        long mappedBytes;
        await using (InferenceEngine mapped = InferenceEngine.Load(model.Folder, new EngineOptions { MaxSequences = 4 }))
        {
            Assert.Equal(new WeightPlacement(), mapped.Weights);
            expected = await mapped.LogitsAsync(ids);
            mappedBytes = OperatingSystem.IsLinux() ? MappedBytes() : 0;
        }

        await using InferenceEngine huge = InferenceEngine.Load(model.Folder, s_huge);
        output.WriteLine(huge.Weights.ToString());
        Assert.Equal(expected, await huge.LogitsAsync(ids));
        if (huge.Weights.Fallback is { } reason)
        {
            // A machine without such pages: then the reason is the outcome.
            Assert.Equal((WeightPages.Mapped, 0L), (huge.Weights.Pages, huge.Weights.CopiedBytes));
            Assert.NotEmpty(reason);
            return;
        }

        // The tables of longcat-nano are more than half of it and stay where they are.
        long data = huge.Manifest.Files[ModelManifest.DataFileName].Bytes;
        Assert.Equal(WeightPages.Huge, huge.Weights.Pages);
        Assert.InRange(huge.Weights.CopiedBytes, data / 10, data * 9 / 10);

        // ONNX Runtime maps every tensor by itself, so what it took from the copy is not mapped.
        output.WriteLine($"{mappedBytes} bytes of the data file are mapped otherwise, {MappedBytes()} with the copy");
        Assert.InRange(mappedBytes - MappedBytes(), huge.Weights.CopiedBytes, data);
    }

    private long MappedBytes() => File.ReadLines("/proc/self/maps")
        .Where(line => line.EndsWith(Path.Combine(model.Folder, ModelManifest.DataFileName), StringComparison.Ordinal))
        .Select(line => line.Split(' ')[0].Split('-'))
        .Sum(ends => Convert.ToInt64(ends[1], 16) - Convert.ToInt64(ends[0], 16));

    [Fact]
    public void A_folder_of_standard_operators_says_why_its_weights_are_not_in_huge_pages()
    {
        using TemporaryFolder folder = new();
        string checkpoint = RandomDecoder.Write(folder["checkpoint"], new RandomDecoderOptions { HeadDim = 16 });
        string exported = OnnxExporter.Export(checkpoint, folder["onnx"], new ExportOptions { Operators = OperatorSet.Standard }).Folder;
        using InferenceEngine engine = InferenceEngine.Load(exported, s_huge);
        Assert.Equal(WeightPages.Mapped, engine.Weights.Pages);
        Assert.Contains("standard operators", engine.Weights.Fallback, StringComparison.Ordinal);
    }

    [Fact]
    public void A_tied_table_that_a_product_reads_as_well_is_copied_and_a_table_of_rows_alone_is_not()
    {
        using TemporaryFolder folder = new();
        foreach (bool tied in new[] { false, true })
        {
            string name = tied ? "tied" : "own";
            string checkpoint = RandomDecoder.Write(folder[name], new RandomDecoderOptions { Tied = tied });
            string exported = OnnxExporter.Export(checkpoint, folder[$"{name}-onnx"]).Folder;
            IReadOnlyList<ExternalInitializer> matrices = ExternalInitializer.MatricesOf(File.ReadAllBytes(Path.Combine(exported, ModelManifest.ModelFileName)));
            Assert.Equal(tied, matrices.Any(matrix => matrix.Name.Contains("embed_tokens", StringComparison.Ordinal)));
            Assert.Contains(matrices, matrix => matrix.Name.Contains("down_proj", StringComparison.Ordinal));
            Assert.All(matrices, matrix => Assert.True(matrix.Length > 0 && matrix.Offset % 4096 == 0));
        }
    }

    [Fact]
    public void Damaged_graphs_are_errors_that_name_the_file()
    {
        byte[] good = File.ReadAllBytes(Path.Combine(model.Folder, ModelManifest.ModelFileName));
        Random random = new(7);
        int refused = 0;
        for (int round = 0; round < 400; round++)
        {
            byte[] bad = round % 2 == 0 ? good[..random.Next(good.Length)] : [.. good];
            for (int spoiled = 0; spoiled < 8 && bad.Length > 0; spoiled++)
            {
                bad[random.Next(bad.Length)] = (byte)random.Next(256);
            }

            try
            {
                ExternalInitializer.MatricesOf(bad);
            }
            catch (InvalidDataException)
            {
                refused++;
            }
        }

        output.WriteLine($"{refused} of 400 refused");
        Assert.InRange(refused, 100, 400);
    }

    [Fact]
    public void A_data_file_that_is_too_short_is_an_error_before_ONNX_Runtime_sees_it()
    {
        using TemporaryFolder folder = new();
        string path = Path.Combine(folder.Path, ModelManifest.ModelFileName);
        File.Copy(Path.Combine(model.Folder, ModelManifest.ModelFileName), path);
        File.WriteAllText(Path.Combine(folder.Path, ModelManifest.DataFileName), "short");
        InferenceException exception = Assert.Throws<InferenceException>(() => HugePageWeights.TryLoad(path, s_huge, out _));
        Assert.Contains("5 bytes", exception.Message, StringComparison.Ordinal);

        File.WriteAllBytes(path, Encoding.UTF8.GetBytes("no graph"));
        exception = Assert.Throws<InferenceException>(() => HugePageWeights.TryLoad(path, s_huge, out _));
        Assert.Contains(path, exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void More_memory_than_there_is_stays_in_the_mapping_with_the_numbers()
    {
        Assert.Null(HugePages.TryAllocate(1L << 50, out string reason));
        Assert.NotEmpty(reason);
        if (HugePages.TryAllocate(1, out _) is { } pages)
        {
            pages.Dispose();
            Assert.Contains($"{1L << 50:N0}", reason, StringComparison.Ordinal);
        }
    }
}

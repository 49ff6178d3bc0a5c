using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Modules.Tests;
using LongCat.ML.TestShared;
using TorchSharp;

namespace LongCat.ML.Training.Tests.Tool;

/// <summary><c>longcat-train</c> as a process: exit codes, one-line errors, and the files it writes.</summary>
public class TrainingToolTests
{
    [Fact]
    public void Wrong_usage_is_one_line_and_exit_code_2()
    {
        var (code, _, error) = Run("logits", "nowhere", "--output", "x.safetensors");
        Assert.Equal(2, code);
        Assert.Equal("error: give either --ids or --ids-file", error.Trim());
        Assert.Equal(2, Run("pretrain").Code);
    }

    [Fact]
    public void A_missing_checkpoint_is_one_line_and_exit_code_1_and_leaves_no_file()
    {
        using var folder = new TemporaryFolder();
        var (code, _, error) = Run("logits", folder["absent"], "--ids", "1,2", "--output", folder["y.safetensors"]);
        Assert.Equal(1, code);
        Assert.StartsWith("error: ", error, StringComparison.Ordinal);
        Assert.Single(error.Trim().Split('\n'));
        Assert.Empty(Directory.GetFileSystemEntries(folder.Path));
    }

    [Fact]
    public void Logits_of_a_Llama_in_a_download_cache_are_those_of_the_formulas()
    {
        using var folder = new TemporaryFolder();
        string snapshot = RandomDecoder.Write(Path.Combine(folder["models--a--b"], "snapshots", "0123abc"));
        var (code, _, error) = Run("logits", folder["models--a--b"], "--ids", "1,40,41,42,200", "--output", folder["y.safetensors"]);
        Assert.True(code == 0, error);
        using var written = SafetensorsFile.Open(folder["y.safetensors"]);
        Assert.Equal([1L, 5, 272], written.Entry("logits").Shape);
        using DecoderReference reference = new(snapshot);
        float[] actual = written.ReadFloat32("logits");
        Assert.All(reference.Run([1, 40, 41, 42, 200]).Logits.Zip(actual), pair => Assert.Equal(pair.First, pair.Second, 5e-5f));
    }

    [Fact]
    public void Logits_of_a_file_of_ids_equal_those_of_the_modules()
    {
        using var folder = new TemporaryFolder();
        using var model = TinyConfig.Create(seed: 3);
        model.Save(folder["model"], TinyConfig.Json, TensorType.Float32);
        long[] ids = [1, 7, 8, 2, 9, 10, 11, 12];
        using (var writer = SafetensorsWriter.Create(folder["x.safetensors"], [new TensorDeclaration("input_ids", TensorType.Int64, [2, 4])]))
        {
            writer.Write("input_ids", MemoryMarshal.AsBytes<long>(ids));
            writer.Complete();
        }

        var (code, _, error) = Run("logits", folder["model"], "--ids-file", folder["x.safetensors"], "--output", folder["y.safetensors"]);
        Assert.True(code == 0, error);
        using var written = SafetensorsFile.Open(folder["y.safetensors"]);
        Assert.Equal([2L, 4, 50], written.Entry("logits").Shape);
        float[] actual = written.ReadFloat32("logits");
        using var frozen = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        using var batch = new SequenceBatch(ids, 2, 4);
        float[] expected = MemoryMarshal.Cast<byte, float>(model.Logits(model.Forward(batch).Hidden).bytes).ToArray();
        for (int i = 0; i < expected.Length; i++)
        {
            // One row at a time or both at once: the same sums, perhaps in another order.
            Assert.Equal(expected[i], actual[i], 1e-5f);
        }
    }

    [Fact]
    public void Logits_with_an_adapter_equal_those_of_the_adapted_modules()
    {
        using var folder = new TemporaryFolder();
        using var model = TinyConfig.Create(seed: 3);
        model.Save(folder["model"], TinyConfig.Json, TensorType.Float32);
        using var adapted = AdaptedModel.Attach(model, new LoraOptions { Rank = 2, Afa = new AfaOptions() });
        using var frozen = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        adapted.Parameters[1].Parameter.fill_(0.3f);
        adapted.StepTo(1, 10);
        using (var peft = adapted.ToPeft())
        {
            peft.Save(folder["adapter"]);
        }

        var (code, _, error) = Run("logits", folder["model"], "--ids", "1,7,8,9", "--output", folder["y.safetensors"], "--adapter", folder["adapter"]);
        Assert.True(code == 0, error);
        using var written = SafetensorsFile.Open(folder["y.safetensors"]);
        using var batch = new SequenceBatch([1, 7, 8, 9], 1, 4);
        float[] expected = MemoryMarshal.Cast<byte, float>(model.Logits(model.Forward(batch).Hidden).bytes).ToArray();
        Assert.All(expected.Zip(written.ReadFloat32("logits")), pair => Assert.Equal(pair.First, pair.Second, 1e-6f));

        (code, _, error) = Run("logits", folder["model"], "--ids", "1,7", "--output", folder["z.safetensors"], "--adapter", folder["model"]);
        Assert.Equal(1, code);
        Assert.Contains("adapter_config.json", Assert.Single(error.Trim().Split('\n')), StringComparison.Ordinal);
        Assert.False(File.Exists(folder["z.safetensors"]));
    }

    private static (int Code, string Output, string Error) Run(params string[] arguments) => TrainingTool.Run(arguments);
}

using System.Globalization;
using System.Text;
using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Training.Tests.Tool;

/// <summary><c>longcat-train lora</c> as a process: what it writes, what it refuses, and that a kill at any moment costs nothing but time.</summary>
public sealed class LoraToolTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly ITestOutputHelper _output;

    public LoraToolTests(ITestOutputHelper output)
    {
        _output = output;
        RandomCheckpoint.Write(_folder["model"], new RandomCheckpointOptions { Tokenizer = true, HiddenSize = 24, FfnSize = 32, ExpertSize = 16, NeighborNum = 3, NGramRatio = 1 });
        var random = new Random(5);
        File.WriteAllLines(_folder["rows.jsonl"], Enumerable.Range(0, 60).Select(_ =>
        {
            int digit = random.Next(10);
            return JsonSerializer.Serialize(new { prompt = $"{digit}+1=", completion = $" {digit + 1}", text = $"row {digit}", label = digit % 2 == 0 ? "even" : "odd" });
        }));
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Trains_and_writes_an_adapter_with_its_report()
    {
        var (code, output, error) = Lora("a", "--prompt", "prompt", "--completion", "completion", "--validation-share", "0.2", "--steps", "12", "--evaluate-every", "4", "--learning-rate", "0.02");
        Assert.True(code == 0, error);
        Assert.Empty(error);
        Assert.Contains("48 rows to train on", output, StringComparison.Ordinal);
        Assert.Contains("12 rows to evaluate on", output, StringComparison.Ordinal);
        Assert.Contains("step 4/12", output, StringComparison.Ordinal);
        Assert.Matches("done: 12 steps in .*validation loss [0-9.]+ -> [0-9.]+ ", output);
        Assert.Equal(["adapter_config.json", "adapter_model.safetensors", "report.html"], Directory.GetFiles(_folder["a"]).Select(Path.GetFileName).Order());
        Assert.False(Directory.Exists(_folder["a.state"]));
        using var adapter = PeftAdapter.Load(_folder["a"]);
        using var model = CausalLanguageModel.Load(_folder["model"]);
        AdaptedModel.Attach(model, adapter).Dispose();

        // It is there now: another run must be told to replace it.
        Assert.Contains("exists; choose another folder", Lora("a", "--text", "text", "--steps", "1").Error, StringComparison.Ordinal);
        Assert.Equal(0, Lora("a", "--text", "text", "--label", "label", "--steps", "1", "--overwrite", "--method", "rslora", "--rank", "2", "--targets", "attention").Code);
        Assert.Equal(2, PeftConfig.Load(_folder["a"]).Rank);
        Assert.True(PeftConfig.Load(_folder["a"]).UseRsLora);
        Assert.Contains("is complete; nothing to resume", Lora("a", "--text", "text", "--steps", "1", "--resume").Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("the columns given are none", 2)]
    [InlineData("the columns given are text and chat", 2, "--text", "text", "--chat", "text")]
    [InlineData("--afa needs an adapter", 2, "--text", "text", "--method", "full", "--afa", "relu")]
    [InlineData("--patience needs rows to evaluate on", 2, "--text", "text", "--patience", "2")]
    [InlineData("give either --validation or --validation-share", 2, "--text", "text", "--validation", "x", "--validation-share", "0.1")]
    [InlineData("PiSSA does not go with AFA-LoRA", 2, "--text", "text", "--method", "pissa", "--afa", "relu")]
    [InlineData("--learning-rate is -1, expected a number above 0", 2, "--text", "text", "--learning-rate", "-1")]
    [InlineData("Steps is 0, expected", 2, "--text", "text", "--steps", "0")]
    [InlineData("line 1: there is no field 'absent'", 1, "--text", "absent")]
    [InlineData("q_a_proj", 1, "--text", "text", "--targets", "q_a_prj")]
    [InlineData("the device is cuda:0, and this libtorch has no CUDA", 1, "--text", "text", "--device", "cuda:0")]
    public void Wrong_usage_and_bad_input_are_one_line(string expected, int code, params string[] arguments)
    {
        if (arguments.Contains("--device") && TorchSharp.torch.cuda_is_available())
        {
            return;
        }

        var result = Lora("x", arguments);
        Assert.Equal(code, result.Code);
        Assert.Contains(expected, result.Error, StringComparison.Ordinal);
        Assert.Single(result.Error.Trim().Split('\n'));
        Assert.False(Directory.Exists(_folder["x"]));
        Assert.DoesNotContain(Directory.GetFileSystemEntries(_folder.Path), e => e.Contains("partial", StringComparison.Ordinal));
    }

    [Fact]
    public void Bad_rows_are_counted_when_told_to_skip_them()
    {
        File.AppendAllText(_folder["rows.jsonl"], "{\n{\"text\": 1}\n{\"text\": \"\"}\n");
        Assert.Contains("line 61: the line is no JSON", Lora("x", "--text", "text").Error, StringComparison.Ordinal);
        var (code, output, error) = Lora("x", "--text", "text", "--steps", "2", "--bad-rows", "skip");
        Assert.True(code == 0, error);
        Assert.Contains("left out: 2 rows of", output, StringComparison.Ordinal);
        Assert.Contains("left out: 1 rows without trainable tokens", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Killed_at_random_moments_it_resumes_to_the_same_bytes()
    {
        string[] arguments =
        [
            "--prompt", "prompt", "--completion", "completion", "--validation-share", "0.2", "--method", "afa", "--afa-schedule", "cosine", "--dropout", "0.1", "--ngram-tables",
            "--steps", "150", "--evaluate-every", "20", "--save-every", "3", "--learning-rate", "0.01", "--threads", "1",
        ];
        var (code, _, error) = Lora("whole", arguments);
        Assert.True(code == 0, error);

        var random = new Random(Environment.TickCount);
        var kills = new StringBuilder();
        int killed = 0;
        while (killed < 3 && !Directory.Exists(_folder["broken"]))
        {
            using var process = TrainingTool.Start(["lora", _folder["model"], "--train", _folder["rows.jsonl"], "--output", _folder["broken"], "--resume", .. arguments]);
            var drained = process.StandardError.ReadToEndAsync();

            // The first line says that training is about to begin; from there on any moment will do.
            while (process.StandardOutput.ReadLine() is string line && !line.Contains("state", StringComparison.Ordinal) && !line.Contains("resumed", StringComparison.Ordinal))
            {
            }

            var rest = process.StandardOutput.ReadToEndAsync();
            int wait = random.Next(20, 700);
            if (!process.WaitForExit(wait))
            {
                process.Kill();
                killed++;
                kills.Append(CultureInfo.InvariantCulture, $"{wait} ms ");
            }

            process.WaitForExit();
        }

        var last = Lora("broken", ["--resume", .. arguments]);
        Assert.True(last.Code == 0, last.Error);
        _output.WriteLine($"killed {killed} times after {kills}\n{last.Output}");
        Assert.True(killed > 0, "the run ended before it could be killed");
        foreach (string file in new[] { "adapter_model.safetensors", "adapter_config.json" })
        {
            Assert.Equal(File.ReadAllBytes(Path.Combine(_folder["whole"], file)), File.ReadAllBytes(Path.Combine(_folder["broken"], file)));
        }
    }

    [Fact]
    public void Memory_does_not_grow_over_a_thousand_steps()
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        using var process = TrainingTool.Start(
            "lora", _folder["model"], "--train", _folder["rows.jsonl"], "--output", _folder["long"], "--prompt", "prompt", "--completion", "completion",
            "--steps", "1200", "--batch", "2", "--columns", "64", "--save-every", "0", "--threads", "1", "--targets", "attention");
        _ = process.StandardError.ReadToEndAsync();
        var resident = new List<(long Step, double MiB)>();
        while (process.StandardOutput.ReadLine() is string line)
        {
            if (line.StartsWith("step ", StringComparison.Ordinal) && File.Exists($"/proc/{process.Id}/status"))
            {
                string memory = File.ReadLines($"/proc/{process.Id}/status").First(l => l.StartsWith("VmRSS:", StringComparison.Ordinal));
                resident.Add((long.Parse(line[5..line.IndexOf('/', StringComparison.Ordinal)], CultureInfo.InvariantCulture),
                    double.Parse(memory.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) / 1024));
            }
        }

        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
        _output.WriteLine(string.Join(", ", resident.Select(r => string.Create(CultureInfo.InvariantCulture, $"step {r.Step}: {r.MiB:F0} MiB"))));
        double early = resident.First(r => r.Step >= 120).MiB, late = resident.Last(r => r.Step < 1200).MiB;

        // A step of this model allocates about 2 MiB of tensors; a leak of one per step would be tens of MiB over a thousand. The runtime's own heap moves by a few.
        Assert.True(late - early < 16, $"resident memory went from {early:F0} to {late:F0} MiB over a thousand steps");
    }

    private (int Code, string Output, string Error) Lora(string output, params string[] arguments) =>
        TrainingTool.Run(["lora", _folder["model"], "--train", _folder["rows.jsonl"], "--output", _folder[output], .. arguments]);
}

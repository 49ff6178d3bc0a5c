using System.Xml;
using System.Xml.Linq;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Modules.Tests;
using LongCat.ML.TestShared;
using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training.Tests.FineTuning;

public class FineTuningOutputTests
{
    private static readonly FineTuningOptions s_options = new() { Steps = 8, BatchRows = 4, Columns = 32, LearningRate = 1e-2, EvaluateEvery = 2, Threads = 2 };

    [Fact]
    public void The_adapter_and_its_report_appear_together()
    {
        using var folder = new TemporaryFolder();
        using var model = TinyConfig.Create();
        using var tuner = FineTuner.Create(model, TinyExamples.Make(30), TinyExamples.Make(10, seed: 2), s_options with { Lora = new LoraOptions { Afa = new AfaOptions() } });
        var result = tuner.Run();
        string report = tuner.Save(folder["adapter"]);
        Assert.Equal(["adapter_config.json", "adapter_model.safetensors", "report.html"], Directory.GetFiles(folder["adapter"]).Select(Path.GetFileName).Order());
        using (var adapter = PeftAdapter.Load(folder["adapter"]))
        {
            using var other = TinyConfig.Create();
            using var adapted = AdaptedModel.Attach(other, adapter);
            using var evaluated = FineTuner.Create(other, TinyExamples.Make(10, seed: 2), TinyExamples.Make(10, seed: 2), s_options with { Lora = null });
            Assert.Equal(result.ValidationLoss!.Value, evaluated.Evaluate(), 1e-6);
        }

        var html = Parse(report);
        XNamespace svg = "http://www.w3.org/2000/svg", page = "http://www.w3.org/1999/xhtml";
        Assert.Equal(["Loss", "Learning rate", "β of AFA-LoRA", "Gradient norm before clipping"], html.Descendants(svg + "title").Select(t => t.Value));
        Assert.Equal(6, html.Descendants(svg + "polyline").Count());
        Assert.Equal(5, html.Descendants(svg + "circle").Count());
        string text = html.Descendants(page + "body").Single().Value;
        Assert.Contains("AFA-LoRA, rank 8, alpha 16", text, StringComparison.Ordinal);
        Assert.Contains("30 for training", text, StringComparison.Ordinal);

        // Nothing is fetched: no source, no link, no script.
        Assert.DoesNotContain(html.Descendants(), e => e.Name.LocalName is "script" or "link" or "img" or "iframe");
        Assert.DoesNotContain(html.Descendants().Attributes(), a => a.Name.LocalName is "src" or "href");
    }

    [Fact]
    public void An_adapter_that_is_still_annealed_says_so()
    {
        using var folder = new TemporaryFolder();
        using var model = TinyConfig.Create();
        using var tuner = FineTuner.Create(model, TinyExamples.Make(30), null, s_options with { Lora = new LoraOptions { Afa = new AfaOptions { EndFraction = 1 } } });
        tuner.Step();
        tuner.Save(folder["adapter"]);
        Assert.True(File.Exists(Path.Combine(folder["adapter"], "afa_state.json")));
        using var adapter = PeftAdapter.Load(folder["adapter"]);
        Assert.Equal(tuner.Adapted!.Beta, adapter.Beta);
        Assert.InRange(adapter.Beta, 0.8, 0.9);
    }

    [Fact]
    public void Full_fine_tuning_writes_a_checkpoint()
    {
        using var folder = new TemporaryFolder();
        using (var start = TinyConfig.Create())
        {
            start.Save(folder["model"], TinyConfig.Json, TensorType.Float32);
            File.WriteAllText(Path.Combine(folder["model"], "tokenizer.json"), "{}");
        }

        using var tuner = FineTuner.Create(folder["model"], TinyExamples.Make(30), TinyExamples.Make(10, seed: 2), s_options with { Lora = null });
        var result = tuner.Run();
        tuner.Save(folder["tuned"]);
        Assert.True(File.Exists(Path.Combine(folder["tuned"], "tokenizer.json")));
        using var loaded = CausalLanguageModel.Load(folder["tuned"]);
        using var evaluated = FineTuner.Create(loaded, TinyExamples.Make(10), TinyExamples.Make(10, seed: 2), s_options with { Lora = null });

        // Saved as bfloat16: 8 bits of mantissa.
        Assert.Equal(result.ValidationLoss!.Value, evaluated.Evaluate(), 0.02);
        Parse(Path.Combine(folder["tuned"], "report.html"));
    }

    [Fact]
    public void Only_results_of_fine_tuning_are_replaced_and_only_on_request()
    {
        using var folder = new TemporaryFolder();
        using var model = TinyConfig.Create();
        using var tuner = FineTuner.Create(model, TinyExamples.Make(30), null, s_options);
        tuner.Step();
        Directory.CreateDirectory(folder["other"]);
        File.WriteAllText(Path.Combine(folder["other"], "thesis.txt"), "");
        Assert.Contains("holds files and is not a result of fine-tuning", Assert.Throws<IOException>(() => tuner.Save(folder["other"], overwrite: true)).Message, StringComparison.Ordinal);
        Assert.Contains("is a file", Assert.Throws<IOException>(() => tuner.Save(Path.Combine(folder["other"], "thesis.txt"))).Message, StringComparison.Ordinal);
        tuner.Save(folder["adapter"]);
        string before = File.ReadAllText(Path.Combine(folder["adapter"], "report.html"));
        Assert.Contains("exists; choose another folder or ask for it to be overwritten", Assert.Throws<IOException>(() => tuner.Save(folder["adapter"])).Message, StringComparison.Ordinal);
        tuner.Step();
        tuner.Save(folder["adapter"], overwrite: true);
        Assert.NotEqual(before, File.ReadAllText(Path.Combine(folder["adapter"], "report.html")));
        Assert.Equal([folder["adapter"], folder["other"]], Directory.GetFileSystemEntries(folder.Path).Order());
    }

    private static XDocument Parse(string path)
    {
        using var reader = XmlReader.Create(path, new XmlReaderSettings { DtdProcessing = DtdProcessing.Parse, XmlResolver = null });
        return XDocument.Load(reader);
    }
}

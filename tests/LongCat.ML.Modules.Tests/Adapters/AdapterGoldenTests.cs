using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.TestShared;
using TorchSharp;
using Xunit.Abstractions;

namespace LongCat.ML.Modules.Tests.Adapters;

/// <summary>Adapters that PEFT made, against what PEFT computes with them; the limit is the one that goes with the fixtures.</summary>
public class AdapterGoldenTests(ITestOutputHelper output)
{
    private const double Logits = 1e-4;

    public static TheoryData<string> Folders => new("longcat-flash-lora", "longcat-flash-lora-list", "longcat-flash-dora");

    [GoldenTheory]
    [MemberData(nameof(Folders))]
    public void Logits_equal_those_of_peft_beside_the_weights_and_merged_into_them(string folder)
    {
        using var golden = new Golden(output, folder);
        using var model = CausalLanguageModel.Load(GoldenFixtures.Path("longcat-flash"));
        using var adapter = PeftAdapter.Load(golden.Folder);
        using var frozen = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        using var batch = golden.Prompt();
        golden.Close("base.logits", model.Logits(model.Forward(batch).Hidden), 5e-5);
        byte[] before = model.Logits(model.Forward(batch).Hidden).bytes.ToArray();
        using (var adapted = AdaptedModel.Attach(model, adapter))
        {
            Assert.Equal(0, adapted.Beta);
            golden.Close("logits", model.Logits(model.Forward(batch).Hidden), Logits);
            adapted.Merge();
            Assert.True(adapted.IsMerged);
            golden.Close("merged.logits", model.Logits(model.Forward(batch).Hidden), Logits);
            adapted.Unmerge();
            golden.Close("logits", model.Logits(model.Forward(batch).Hidden), Logits);
            adapted.Merge();
        }

        Assert.True(before.AsSpan().SequenceEqual(model.Logits(model.Forward(batch).Hidden).bytes), "the model is not what it was before the adapter");
    }

    [GoldenTheory]
    [MemberData(nameof(Folders))]
    public void An_adapter_goes_through_the_modules_byte_by_byte(string folder)
    {
        using TemporaryFolder target = new();
        using var model = CausalLanguageModel.Load(GoldenFixtures.Path("longcat-flash"));
        using var adapter = PeftAdapter.Load(GoldenFixtures.Path(folder));
        using var adapted = AdaptedModel.Attach(model, adapter);
        using var back = adapted.ToPeft();
        adapter.Save(target["direct"]);
        back.Save(target["through"]);
        foreach (string file in Directory.GetFiles(target["direct"]))
        {
            Assert.Equal(File.ReadAllBytes(file), File.ReadAllBytes(Path.Combine(target["through"], Path.GetFileName(file))));
        }
    }
}

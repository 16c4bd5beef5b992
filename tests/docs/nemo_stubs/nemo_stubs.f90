!> Stand-ins for the modules of NEMO that hal_nemo uses: its names, and just the symbols that are used. Nothing of NEMO is here.
module par_kind
   implicit none
   integer, parameter :: wp = selected_real_kind(12, 307)
end module par_kind

module par_oce
   implicit none
   integer, parameter :: jpt = 3, jpts = 2, jp_tem = 1, jp_sal = 2
   integer :: jpi, jpj, jpk, jpkm1, nn_hls, Nis0, Nie0, Njs0, Nje0, Ni_0, Nj_0, Ni0glo, Nj0glo
   integer :: ntsi, ntsj, ntei, ntej
end module par_oce

module dom_oce
   use par_kind, only : wp
   use par_oce
   implicit none
   public
   real(wp) :: rn_Dt
   integer  :: Nbb, Nnn, Naa, Nrhs, nimpp, njmpp
   logical  :: l_Iperio, l_Jperio, l_NFold
   character(len=1) :: c_NFtype
   real(wp), allocatable, dimension(:,:)   :: e1t, e2t, e1u, e2u, e1v, e2v, e1f, e2f, ff_t, ff_f, gphit
   real(wp), allocatable, dimension(:,:,:) :: tmask, umask, vmask, fmask
end module dom_oce

module oce
   use par_kind, only : wp
   implicit none
   real(wp), allocatable :: uu(:,:,:,:), vv(:,:,:,:), ts(:,:,:,:,:), ssh(:,:,:)
end module oce

module in_out_manager
   implicit none
   integer :: nit000, nitend, nitrst, nn_date0, nn_leapy
   logical :: lrst_oce
end module in_out_manager
